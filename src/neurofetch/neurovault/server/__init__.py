"""The server of NeuroVault: its API, its pages, what it knows of collections and images."""
