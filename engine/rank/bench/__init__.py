"""Measurements of devices and links that run inside a rank."""
