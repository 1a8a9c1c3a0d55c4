"""Lock files: which bytes a data directory has, to bring exactly them elsewhere."""
