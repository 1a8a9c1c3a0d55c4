"""The "laion-fmri" command."""
