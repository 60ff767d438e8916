"""Tests of the client against a real server in its own process."""
