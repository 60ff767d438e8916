"""Readers of the built-in corpora, one file a source."""
