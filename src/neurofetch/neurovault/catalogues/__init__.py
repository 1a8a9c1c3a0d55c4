"""All collections and images in one local file: filled, updated, searched."""
