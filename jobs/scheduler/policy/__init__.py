"""Who gets which devices, and what everybody else waits for: a pure function from a snapshot to decisions."""

from jobs.scheduler.policy.decide import decide

__all__ = ["decide"]
