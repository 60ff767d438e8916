"""Scheduling policy: a pure function from a pool snapshot to decisions."""

from jobs.scheduler.policy.decide import decide

__all__ = ["decide"]
