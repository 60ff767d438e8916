"""Checkpoint files: a format without torch that any parallel layout can read."""
