"""Liveness of nodes by the age of their heartbeat."""

from __future__ import annotations

from datetime import timedelta

from django.conf import settings
from django.db.models.expressions import CombinedExpression
from django.db.models.functions import Now


def alive_since() -> CombinedExpression:
    """Return the oldest heartbeat time of a node that counts as alive.

    By the database's clock, since the clocks of nodes may differ.
    """
    return Now() - timedelta(seconds=settings.UNREACHABLE_AFTER_S)
