"""The program at work, on real servers that this demo starts itself: ``make demo``."""
