"""The training engine: spec, plan, supervision, telemetry and, in engine/rank, the training itself."""
