"""Accounts, tokens, sharing and remembered queries."""
