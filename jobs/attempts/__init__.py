"""What an attempt leaves behind: points, logs, checkpoints, traces."""
