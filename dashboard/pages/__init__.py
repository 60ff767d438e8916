"""One package a page family: views and their helpers."""
