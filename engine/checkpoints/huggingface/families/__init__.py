"""Supported model families, one module each."""
