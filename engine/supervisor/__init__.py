"""Supervisor of an attempt: device locks, rank processes, hangs, root cause, cleanup."""
