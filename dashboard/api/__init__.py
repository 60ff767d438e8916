"""The HTTP API at /api/v1/: JSON for scripts and charts, described by its own openapi.json."""
