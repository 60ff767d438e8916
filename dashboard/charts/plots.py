"""Drawings of points and lines on linear, logarithmic or category axes."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

FEWEST_TICKS = 3  # of a logarithmic axis; with fewer, steps between its powers are added

MINUTE, HOUR, DAY = 60.0, 3600.0, 86400.0
# Round numbers of seconds, and of joules in watt-hours.
DURATIONS = (
    *(m * 10.0**power for power in (-6, -5, -4, -3, -2, -1) for m in (1, 2, 5)), 1.0, 2.0, 5.0, 10.0, 30.0,
    MINUTE, 2 * MINUTE, 5 * MINUTE, 15 * MINUTE, 30 * MINUTE, HOUR, 2 * HOUR, 4 * HOUR, 8 * HOUR,
    DAY, 2 * DAY, 4 * DAY, 8 * DAY, 16 * DAY, 32 * DAY, 64 * DAY, 128 * DAY, 365 * DAY, 730 * DAY, 3650 * DAY,
)  # fmt: skip
ENERGIES = tuple(3600.0 * m * 10.0**power for power in range(-3, 9) for m in (1, 2, 5))

Writer = Callable[[float], str]


@dataclass(frozen=True)
class Frame:
    """Size of a drawing and position of its axes; the margins hold their texts."""

    width: float
    height: float
    left: float
    right: float
    top: float
    bottom: float
    num_ticks: int  # approximate number that an axis has room for

    @property
    def middle_x(self) -> float:
        return (self.left + self.right) / 2

    @property
    def middle_y(self) -> float:
        return (self.top + self.bottom) / 2

    def along(self, is_x: bool) -> tuple[float, float]:
        """Start and end of an axis."""
        return (self.left, self.right) if is_x else (self.bottom, self.top)


WIDE = Frame(640, 340, 94, 622, 14, 300, num_ticks=5)
NARROW = Frame(366, 300, 88, 360, 12, 258, num_ticks=2)  # of a phone
SMALL = Frame(320, 200, 52, 308, 12, 170, num_ticks=3)  # one of many, without titles


@dataclass(frozen=True)
class Tick:
    at: float
    text: str


@dataclass(frozen=True)
class Dot:
    x: float
    y: float
    label: str  # tooltip, also for screen readers
    tone: str = ""  # CSS class of the mark
    url: str = ""


@dataclass(frozen=True)
class PlotLine:
    """`points` is the attribute of an SVG polyline."""

    name: str
    tone: str
    points: str
    dots: list[Dot]


@dataclass(frozen=True)
class PlotAxis:
    """Axis of numbers. `base`: 10, or 2 for sizes in bytes; None for a linear axis."""

    low: float
    high: float
    start: float
    end: float
    base: int | None
    write: Writer
    num_ticks: int
    round_numbers: tuple[float, ...] = ()  # candidates for ticks; without them powers of the base

    def at(self, value: float) -> float:
        """Return the coordinate of a value in the drawing."""
        low, high = self._scaled(self.low), self._scaled(self.high)
        share = (self._scaled(value) - low) / (high - low) if high > low else 0.5
        return round(self.start + (0.02 + 0.96 * share) * (self.end - self.start), 1)

    def ticks(self) -> list[Tick]:
        return [Tick(self.at(value), self.write(value)) for value in self._tick_values()]

    def _scaled(self, value: float) -> float:
        return math.log(value, self.base) if self.base else value

    def _tick_values(self) -> list[float]:
        if self.base is None:
            return round_steps(self.low, self.high, self.num_ticks)
        if self.round_numbers:
            return self._thinned([value for value in self.round_numbers if self.low <= value <= self.high])
        first, last = math.ceil(self._scaled(self.low) - 1e-9), math.floor(self._scaled(self.high) + 1e-9)
        step = max(1, math.ceil((last - first + 1) / (self.num_ticks + 2)))
        found = [float(self.base) ** power for power in range(first, last + 1, step)]
        if len(found) >= FEWEST_TICKS or self.base != 10:
            return found or [self.low, self.high]
        fine = [m * 10.0**power for power in range(first - 1, last + 1) for m in (1, 2, 5)]
        return self._thinned([value for value in fine if self.low <= value <= self.high])

    def _thinned(self, values: list[float]) -> list[float]:
        return values[:: max(1, math.ceil(len(values) / (self.num_ticks + 2)))] or [self.low, self.high]


@dataclass(frozen=True)
class CategoryAxis:
    """Axis with one position per value, in the given order."""

    values: tuple[Any, ...]
    start: float
    end: float

    def at(self, value: Any) -> float:
        share = (self.values.index(value) + 0.5) / len(self.values)
        return round(self.start + share * (self.end - self.start), 1)

    def ticks(self) -> list[Tick]:
        return [Tick(self.at(value), str(value)[:10]) for value in self.values[:8]]


@dataclass(frozen=True)
class Plot:
    """One drawing, as templates/parts/plot.html shows it."""

    x: PlotAxis | CategoryAxis
    y: PlotAxis
    dots: list[Dot]
    lines: Sequence[PlotLine] = ()
    x_title: str = ""
    y_title: str = ""
    diagonal: tuple[float, float, float, float] | None = None  # ends of the line y = x
    frame: Frame = WIDE


def axis(
    values: Iterable[float],
    write: Writer,
    *,
    is_x: bool,
    base: int | None = 10,
    round_numbers: tuple[float, ...] = (),
    frame: Frame = WIDE,
) -> PlotAxis:
    """Build an axis over the finite values; a logarithmic axis leaves out values up to 0."""
    found = [value for value in values if math.isfinite(value) and (value > 0 or base is None)]
    low, high = (min(found), max(found)) if found else (1.0, 10.0)
    if low == high:
        low, high = (low / 2, high * 2) if base else (low - 1, high + 1)
    return PlotAxis(low, high, *frame.along(is_x), base, write, frame.num_ticks, round_numbers)


def polyline(points: Sequence[Dot]) -> str:
    return " ".join(f"{dot.x},{dot.y}" for dot in points)


def round_steps(low: float, high: float, num_ticks: int) -> list[float]:
    """Return multiples of 1, 2 or 5 times a power of ten between the two, about `num_ticks`."""
    span = high - low
    step = 10.0 ** math.floor(math.log10(span / num_ticks)) if span > 0 else 1.0
    step = next(step * times for times in (1, 2, 5, 10) if span / (step * times) <= num_ticks)
    first = math.ceil(low / step - 1e-9)
    return [number * step for number in range(first, math.floor(high / step + 1e-9) + 1)]
