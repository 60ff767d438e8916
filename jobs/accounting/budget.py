"""What a team may still spend of a pool."""

from __future__ import annotations

import msgspec


class Budget(msgspec.Struct, frozen=True):
    """What a month (UTC) gives a team: device-seconds, joules or money."""

    whole: float
    left: float  # of this month; device-seconds and money before what runs now is counted, joules after
