"""What is measured, how it is read, and the one line format it travels in."""
