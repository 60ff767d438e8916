"""Seeded hostile requests to every part that takes requests."""
