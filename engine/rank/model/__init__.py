"""The model: one ordered list of layers that every family and every layout is made from."""
