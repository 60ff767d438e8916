"""Fixtures: jobs with recorded steps."""

from tests.jobs.verdicts.conftest import trained

__all__ = ["trained"]
