"""The compare page, its figures and saved views."""
