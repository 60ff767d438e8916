"""One training step: engine, optimiser, schedule, precision."""
