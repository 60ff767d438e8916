"""Runs that Fourwalls did not launch: points, parameters, artefacts."""
