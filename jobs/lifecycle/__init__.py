"""The functions that change states, and what follows from each change."""
