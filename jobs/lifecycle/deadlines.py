"""Latest end of running attempts, by the job's time limit."""

from __future__ import annotations

from datetime import datetime, timedelta

from django.db.models import F
from django.db.models.functions import Coalesce

from jobs.epoch import Epoch
from jobs.models import Attempt

# For order_by() on attempts. Counted from the start of the attempt, or from its assignment while it has not started.
LATEST_END_S = Epoch(Coalesce(F("started_at"), F("assigned_at"))) + F("job__time_limit_s")


def ends_by(attempt: Attempt) -> datetime:
    """Return when the attempt ends at the latest. Reads attempt.job."""
    return (attempt.started_at or attempt.assigned_at) + timedelta(seconds=attempt.job.time_limit_s)
