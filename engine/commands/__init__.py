"""Commands of `python -m engine` that print tables or JSON."""
