"""Description of a family: config.json, names and storage of weights."""
