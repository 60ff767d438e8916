"""Formatting, markup, badges and navigation."""
