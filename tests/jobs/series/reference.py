"""A naive reference for reading series."""

from __future__ import annotations

import math
import random
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from jobs import series
from jobs.series import Point


@dataclass
class Stored:
    """Every delivered point, in order of arrival."""

    rows: list[tuple[int, Point]]  # attempt, point

    def line(
        self, metric: str, source: str, *, by_step: bool = True, lo=-math.inf, hi=math.inf
    ) -> list[Point]:
        firsts: dict[int, int] = {}
        for attempt, point in self.rows:
            if point.step is not None:
                firsts[attempt] = min(firsts.get(attempt, point.step), point.step)
        chosen = []
        for attempt, point in self.rows:
            if (point.metric, point.source) != (metric, source) or (by_step and point.step is None):
                continue
            later = [first for other, first in firsts.items() if other > attempt]
            if point.step is not None and later and point.step >= min(later):
                continue
            if lo <= (point.step if by_step else point.at) <= hi:
                chosen.append(point)
        return sorted(chosen, key=lambda point: point.step if by_step else point.at)


def deliver(run_id: str, batches: Iterable[tuple[int, str, int, Sequence[Point]]]) -> None:
    for attempt, stream, seq, points in batches:
        series.append(run_id, attempt, stream, seq, points)


def training(
    num_steps: int, *, first: int = 1, per_batch: int = 10, metrics: Sequence[str] = ("loss",), seed: int = 0
) -> list[list[Point]]:
    """Batches of a run that loses with noise and a spike now and then."""
    dice = random.Random(seed)
    batches, current = [], []
    for step in range(first, first + num_steps):
        for metric in metrics:
            value = 10 / step + dice.gauss(0, 0.01) + (100.0 if dice.random() < 0.002 else 0.0)
            current.append(Point(metric, "run", step, 1_700_000_000 + step / 8, value))
        if step % per_batch == 0:
            batches.append(current)
            current = []
    return [*batches, current] if current else batches
