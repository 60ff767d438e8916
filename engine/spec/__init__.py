"""The training spec: fields, defaults, presets and checks."""
