"""A Zarr store of single-trial betas: its layout, building it, reading it."""
