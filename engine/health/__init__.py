"""Health of training: what the loss curves of a run show."""
