"""Honest benchmarks of music artist classification."""
