"""The training engine, without Django."""
