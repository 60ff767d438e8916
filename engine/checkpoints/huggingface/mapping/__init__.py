"""Description of model families: fields of config.json, names and storage of weights."""
