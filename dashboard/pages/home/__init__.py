"""Overview and search over everything."""
