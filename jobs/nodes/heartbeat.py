"""Which nodes are alive, by the age of their heartbeat."""

from __future__ import annotations

from datetime import timedelta

from django.conf import settings
from django.db.models.expressions import CombinedExpression
from django.db.models.functions import Now


def alive_since() -> CombinedExpression:
    """Heartbeats younger than this count, by the database's clock: the nodes' own clocks may differ."""
    return Now() - timedelta(seconds=settings.UNREACHABLE_AFTER_S)
