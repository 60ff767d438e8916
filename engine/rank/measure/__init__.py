"""Measurement of a rank's steps: phases, timelines, traces, log lines."""
