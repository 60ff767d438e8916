"""Login links and error pages."""
