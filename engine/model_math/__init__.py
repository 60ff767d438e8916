"""Parameter, token and FLOP counts of a model."""
