"""Where files come from. A source lists files, and gives the address of each when it is asked for."""
