"""Readers of the built-in corpora, one module per source."""
