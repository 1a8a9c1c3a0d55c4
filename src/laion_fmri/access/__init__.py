"""The access service that hands out the stimulus images, and the gated files it gives."""
