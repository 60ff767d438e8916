"""Data of attempts: points, logs, checkpoints, traces, folders."""
