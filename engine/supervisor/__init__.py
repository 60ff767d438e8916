"""Supervisor of an attempt: locks, rank processes, hangs, root cause, cleanup."""
