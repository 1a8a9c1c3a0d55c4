"""NIfTI volumes: headers, byte streams, masking, the brain mask."""
