"""Metrics, their sources on a node, and the line format of the spool."""
