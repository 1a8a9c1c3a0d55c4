"""From files to arrays: layout, regions of interest, trials, betas, lazy arrays, PyTorch."""
