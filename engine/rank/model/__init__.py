"""Model layers: one ordered list from which every family and layout is built."""
