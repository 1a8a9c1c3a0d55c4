"""Files beside the brain data: pictures, vectors and tables, opened where they are first read."""
