"""Benchmarks of devices and links, run in a rank."""
