"""X axes of charts: steps, unix time, time since the start, tokens, energy."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np

from jobs.series.codec import NO_STEP, Floats, Ints
from jobs.series.snapshot import AttemptStart

X = Literal["step", "time", "relative", "tokens", "energy"]
FURTHEST = 2**62
NEAR_US = 5_000_000  # devices are read once a second; a reading farther away does not describe a point


@dataclass(frozen=True)
class XAxis:
    """Selects points by step or by microsecond, from `lo` to `hi` inclusive; `to_x` maps them to x."""

    by_step: bool
    lo: int
    hi: int
    to_x: Callable[[Ints], Ints | Floats]

    def border(self, head: AttemptStart) -> float | None:
        """The x at which an attempt begins; None for an attempt without steps on an axis of steps."""
        position = head.first_step if self.by_step else head.first_at_us
        return None if position is None else self.to_x(np.array([position], dtype=np.int64))[0].item()


def steps(lo: float | None, hi: float | None) -> XAxis:
    low, high = _whole(lo, hi, 1)
    return XAxis(True, max(low, NO_STEP + 1), high, lambda positions: positions)


def time(lo: float | None, hi: float | None, origin_us: int = 0) -> XAxis:
    """Seconds since 1970 or since `origin_us`."""
    low, high = _whole(lo, hi, 1_000_000)
    return XAxis(False, low + origin_us, high + origin_us, lambda positions: (positions - origin_us) / 1e6)


def tokens(lo: float | None, hi: float | None, known_steps: Floats, known_tokens: Floats) -> XAxis:
    """Tokens seen by each step, interpolated linearly between the known steps."""
    low, high = (None if end is None else np.interp(end, known_tokens, known_steps) for end in (lo, hi))
    chosen = steps(low, high)
    return XAxis(
        True, chosen.lo, chosen.hi, lambda positions: np.interp(positions, known_steps, known_tokens)
    )


def energy(lo: float | None, hi: float | None, known_us: Floats, known_j: Floats) -> XAxis:
    """Joules used up to each time, interpolated linearly; without values where no reading is near."""
    low, high = (None if end is None else np.interp(end, known_j, known_us) for end in (lo, hi))
    first, last = int(known_us[0]) - NEAR_US, int(known_us[-1]) + NEAR_US
    return XAxis(
        False,
        first if low is None else math.floor(low),
        last if high is None else math.ceil(high),
        lambda positions: np.interp(positions, known_us, known_j),
    )


def _whole(lo: float | None, hi: float | None, scale: int) -> tuple[int, int]:
    ends = (-math.inf if lo is None else lo, math.inf if hi is None else hi)
    low, high = (min(max(end * scale, -FURTHEST), FURTHEST) for end in ends)
    return math.ceil(round(low, 6)), math.floor(round(high, 6))
