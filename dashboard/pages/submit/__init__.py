"""The submit page, its form and templates of specs."""
