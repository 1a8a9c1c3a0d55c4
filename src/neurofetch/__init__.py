"""neurofetch."""
