"""NIfTI volumes: headers, byte streams, masking, the brain mask."""

from neurofetch.extras import need

need("reading volumes", "loader", "numpy")  # before a module here says it with less
