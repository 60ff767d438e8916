"""Run page and its parts."""
