"""Process groups, collectives and the pipeline module."""
