"""What the bytes should be, and whether they are: checksums, ETags, the levels of verification."""
