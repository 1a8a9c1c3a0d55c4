"""A Zarr store of single-trial betas: its layout, building it, reading it."""

from neurofetch.extras import need

need("the beta store", "loader", "numpy")  # before a module here says it with less
