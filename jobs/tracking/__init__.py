"""Runs logged by external writers: points, parameters, tags, artefacts."""
