"""Latest end of live attempts: the time limit, counted from the first step."""

from __future__ import annotations

from datetime import datetime, timedelta

from django.db.models import F
from django.db.models.functions import Coalesce

from jobs.epoch import Epoch
from jobs.models import Attempt

# For order_by() on attempts. Before its first step an attempt counts from its assignment.
LATEST_END_S = Epoch(Coalesce(F("started_at"), F("assigned_at"))) + F("job__time_limit_s")


def ends_by(attempt: Attempt) -> datetime:
    """Return the latest end of an attempt; reads its job."""
    return (attempt.started_at or attempt.assigned_at) + timedelta(seconds=attempt.job.time_limit_s)
