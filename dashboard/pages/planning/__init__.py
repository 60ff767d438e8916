"""Pages of advice, accuracy and trade-offs."""
