"""Life of a rank: start, training loop, recovery, exit."""
