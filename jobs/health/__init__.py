"""Health of training: reading loss curves, storing what they show."""

from jobs.health.assessing import assess_run, get_current
from jobs.health.due import find_due

__all__ = ["assess_run", "find_due", "get_current"]
