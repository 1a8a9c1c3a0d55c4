"""Where files come from: a source lists files, and gives the address of each when asked."""
