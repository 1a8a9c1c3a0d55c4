"""The cache that is shared with nilearn: its layout, its index, and whether its files are whole."""
