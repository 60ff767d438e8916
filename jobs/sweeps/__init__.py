"""Sweeps: submission, successive halving and ranking."""
