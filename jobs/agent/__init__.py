"""Agent of a node, which starts, follows and stops the attempts assigned to it."""
