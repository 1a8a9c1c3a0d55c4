"""What writes files of this repository that are generated; no part of the package."""
