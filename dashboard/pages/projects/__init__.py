"""Pages of projects and of the bin."""
