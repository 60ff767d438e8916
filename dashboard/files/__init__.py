"""Uploads, downloads and tar streams in pieces."""
