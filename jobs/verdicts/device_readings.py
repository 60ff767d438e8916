"""Readings of devices over a whole run: maxima and growth of counters."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

import numpy as np

from engine.verdict.counter_rates import sum_increases
from engine.verdict.rules import COUNTER_METRICS
from jobs.series import Series


@dataclass
class Readings:
    """Of one device. `read_s`: from its first reading to its last."""

    peaks: dict[str, float] = field(default_factory=dict)
    increases: dict[str, float] = field(default_factory=dict)
    read_s: float = 0.0


def summarise_readings(found: Iterable[Series]) -> dict[str, Readings]:
    """By source."""
    readings: dict[str, Readings] = {}
    for one in found:
        finite = np.isfinite(one.max)
        if not finite.any():
            continue
        own = readings.setdefault(one.source, Readings())
        own.read_s = max(own.read_s, float(one.x[finite][-1] - one.x[finite][0]))
        if one.metric in COUNTER_METRICS:
            own.increases[one.metric] = sum_increases(one.max[finite])
        else:
            own.peaks[one.metric] = float(one.max[finite].max())
    return readings
