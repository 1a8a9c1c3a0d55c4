"""Timings against the tools people use today. Never asserted in tests."""
