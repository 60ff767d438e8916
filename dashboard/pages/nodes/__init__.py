"""Pages of nodes, devices and join tokens."""
