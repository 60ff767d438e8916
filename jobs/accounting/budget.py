"""Remaining budget of a team in a pool."""

from __future__ import annotations

import msgspec


class MonthlyBudget(msgspec.Struct, frozen=True):
    """Budget of a team for one month (UTC), in device-seconds, joules or money."""

    total: float
    remaining: float  # of this month, less the measured energy but not the device time of running attempts
