"""Liveness of nodes and their readings by age."""

from __future__ import annotations

from datetime import datetime, timedelta

from django.conf import settings
from django.db.models.expressions import CombinedExpression
from django.db.models.functions import Now


def alive_since() -> CombinedExpression:
    """Return the oldest heartbeat time of a node that counts as alive.

    By the database's clock, since the clocks of nodes may differ.
    """
    return Now() - timedelta(seconds=settings.UNREACHABLE_AFTER_S)


def is_fresh(at: datetime | None, now: datetime) -> bool:
    """Whether a heartbeat or a reading is young enough to count."""
    return at is not None and now - at < timedelta(seconds=settings.UNREACHABLE_AFTER_S)
