"""Age of heartbeats and readings: which nodes are alive."""

from __future__ import annotations

from datetime import datetime, timedelta

from django.conf import settings
from django.db.models.expressions import CombinedExpression
from django.db.models.functions import Now


def alive_since() -> CombinedExpression:
    """Heartbeats younger than this count, by the database's clock: the nodes' own clocks may differ."""
    return Now() - timedelta(seconds=settings.UNREACHABLE_AFTER_S)


def is_fresh(at: datetime | None, now: datetime) -> bool:
    """Whether a heartbeat or a reading is young enough to count."""
    return at is not None and now - at < timedelta(seconds=settings.UNREACHABLE_AFTER_S)
