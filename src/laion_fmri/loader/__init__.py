"""From files to arrays: layout, regions of interest, trials, betas, lazy arrays, PyTorch."""

from neurofetch.extras import need

need("the loader of LAION-fMRI", "loader", "numpy")  # before a module here says it with less
