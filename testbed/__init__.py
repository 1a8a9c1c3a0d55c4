"""Local servers and generated data for tests, demo and benchmarks."""
