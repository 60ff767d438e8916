"""HTTP API at /api/v1/: JSON for scripts and charts, with an openapi.json."""
