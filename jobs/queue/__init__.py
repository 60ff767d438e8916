"""Job actions, ordering, layout changes and templates."""
