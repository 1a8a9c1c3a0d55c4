"""laion_fmri."""
