"""Pages of pools and of their settings."""
