"""Pages of cost and use."""
