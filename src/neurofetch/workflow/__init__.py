"""What managers of workflows need: one file or folder by its address, looked at and brought."""
