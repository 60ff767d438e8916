"""Verdicts of runs: facts, rules, findings and remedies."""
