"""Pages of pools and their settings."""
