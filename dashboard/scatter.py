"""How a sweep's metric lies over each field that it varied: dots, axes and their ticks, in units of the picture."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from dashboard.badges import JOB_BADGES
from engine.sweep import Range, Sweep
from jobs.models import Run
from jobs.standings import Row

WIDTH, HEIGHT = 320.0, 200.0
LEFT, RIGHT, TOP, BOTTOM = 52.0, 12.0, 12.0, 30.0  # what the axes' texts take
LOG_FROM = 50.0  # a metric that spans more than this many times is drawn on a logarithmic axis
TICKS = 4


@dataclass(frozen=True)
class Tick:
    at: float
    text: str


@dataclass(frozen=True)
class Dot:
    x: float
    y: float
    tone: str
    is_best: bool
    run: Run
    said: str


@dataclass(frozen=True)
class Scatter:
    path: str
    x_ticks: list[Tick]
    y_ticks: list[Tick]
    dots: list[Dot]
    is_log: bool  # along y

    width, height = WIDTH, HEIGHT
    left, right, top, bottom = LEFT, WIDTH - RIGHT, TOP, HEIGHT - BOTTOM


class _Scale:
    """A line from values to places: straight, logarithmic, or one place a value."""

    def __init__(
        self, values: Sequence[Any], start: float, end: float, is_log: bool, is_choice: bool = False
    ):
        self.is_log, self.start, self.end = is_log, start, end
        self.choices = list(dict.fromkeys(values)) if is_choice else []
        numbers = (
            [self._of(value) for value in values] if not is_choice else [0, max(1, len(self.choices) - 1)]
        )
        self.low, self.high = min(numbers, default=0.0), max(numbers, default=1.0)

    def at(self, value: Any) -> float:
        span = self.high - self.low
        number = self.choices.index(value) if self.choices else self._of(value)
        share = (number - self.low) / span if span else 0.5
        return round(self.start + (0.04 + 0.92 * share) * (self.end - self.start), 1)

    def ticks(self) -> list[Tick]:
        if self.choices:
            return [Tick(self.at(choice), str(choice)[:10]) for choice in self.choices[:8]]
        if self.low == self.high:
            return [Tick(self.at(self._back(self.low)), f"{self._back(self.low):.3g}")]
        numbers = [self.low + (self.high - self.low) * index / (TICKS - 1) for index in range(TICKS)]
        return [Tick(self.at(self._back(number)), f"{self._back(number):.3g}") for number in numbers]

    def _of(self, value: float) -> float:
        return math.log10(value) if self.is_log else float(value)

    def _back(self, number: float) -> float:
        return 10**number if self.is_log else number


def of(definition: Sweep, rows: Iterable[Row]) -> list[Scatter]:
    """One picture a field; runs without a value have no dot in it."""
    shown = [row for row in rows if row.value is not None and row.run is not None]
    return [_one(definition, path, shown) for path in definition.vary] if shown else []


def _one(definition: Sweep, path: str, rows: list[Row]) -> Scatter:
    metric = [row.value for row in rows if row.value is not None]
    is_log_y = min(metric) > 0 and max(metric) / min(metric) > LOG_FROM
    xs = [row.values[path] for row in rows]
    vary = definition.vary[path]
    is_choice = not all(isinstance(x, int | float) and not isinstance(x, bool) for x in xs)
    is_log_x = not is_choice and min(xs) > 0 and _is_log(vary, xs)
    x_scale = _Scale(xs, LEFT, WIDTH - RIGHT, is_log_x, is_choice)
    y_scale = _Scale(metric, HEIGHT - BOTTOM, TOP, is_log_y)
    return Scatter(
        path, x_scale.ticks(), y_scale.ticks(), [_dot(row, path, x_scale, y_scale) for row in rows], is_log_y
    )


def _is_log(vary: Any, xs: Sequence[float]) -> bool:
    return vary.scale == "log" if isinstance(vary, Range) else max(xs) / min(xs) >= LOG_FROM


def _dot(row: Row, path: str, x_scale: _Scale, y_scale: _Scale) -> Dot:
    assert row.run is not None and row.value is not None
    tone = JOB_BADGES[row.state].tone
    said = f"#{row.number}, {row.state}: {path} {row.values[path]}, {row.value:.4g}"
    return Dot(x_scale.at(row.values[path]), y_scale.at(row.value), tone, row.place == 1, row.run, said)
