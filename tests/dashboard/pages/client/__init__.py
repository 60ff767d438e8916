"""Tests of the client package and its snippet."""
