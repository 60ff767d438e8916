"""Parallelism: process groups, collectives, pipeline module."""
