"""Uploads, downloads and tar streams in chunks."""
