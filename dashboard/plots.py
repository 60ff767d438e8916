"""Points and lines on two axes, each straight or logarithmic, as places in a drawing with their ticks."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

WIDTH, HEIGHT = 640.0, 340.0
LEFT, RIGHT, TOP, BOTTOM = 94.0, 18.0, 14.0, 40.0  # what the axes' texts take
TICKS = 5
FEWEST_TICKS = 3  # of a logarithmic axis, before the steps between its powers are drawn too

MINUTE, HOUR, DAY = 60.0, 3600.0, 86400.0
# Round numbers of seconds, and of joules as people read energy.
DURATIONS = (
    *(m * 10.0**power for power in (-6, -5, -4, -3, -2, -1) for m in (1, 2, 5)), 1.0, 2.0, 5.0, 10.0, 30.0,
    MINUTE, 2 * MINUTE, 5 * MINUTE, 15 * MINUTE, 30 * MINUTE, HOUR, 2 * HOUR, 4 * HOUR, 8 * HOUR,
    DAY, 2 * DAY, 4 * DAY, 8 * DAY, 16 * DAY, 32 * DAY, 64 * DAY, 128 * DAY, 365 * DAY, 730 * DAY, 3650 * DAY,
)  # fmt: skip
ENERGIES = tuple(3600.0 * m * 10.0**power for power in range(-3, 9) for m in (1, 2, 5))

Writer = Callable[[float], str]


@dataclass(frozen=True)
class Tick:
    at: float
    text: str


@dataclass(frozen=True)
class Dot:
    x: float
    y: float
    said: str  # for the pointer and for screen readers
    tone: str = ""  # a class of its mark
    url: str = ""


@dataclass(frozen=True)
class Line:
    """`places` as an svg polyline has them; its marks are dots."""

    name: str
    tone: str
    places: str
    dots: list[Dot]


@dataclass(frozen=True)
class Axis:
    """From values to places. `base` of a logarithmic one: 10, or 2 for sizes in bytes; None is straight."""

    low: float
    high: float
    start: float
    end: float
    base: int | None
    write: Writer
    round_numbers: tuple[float, ...] = ()  # that may be ticks; none: powers of the base

    def at(self, value: float) -> float:
        low, high = self._of(self.low), self._of(self.high)
        share = (self._of(value) - low) / (high - low) if high > low else 0.5
        return round(self.start + (0.02 + 0.96 * share) * (self.end - self.start), 1)

    def ticks(self) -> list[Tick]:
        return [Tick(self.at(value), self.write(value)) for value in self._marks()]

    def _of(self, value: float) -> float:
        return math.log(value, self.base) if self.base else value

    def _marks(self) -> list[float]:
        if self.base is None:
            return _round_steps(self.low, self.high)
        if self.round_numbers:
            there = [value for value in self.round_numbers if self.low <= value <= self.high]
            return there[:: max(1, math.ceil(len(there) / (TICKS + 2)))] or [self.low, self.high]
        first, last = math.ceil(self._of(self.low) - 1e-9), math.floor(self._of(self.high) + 1e-9)
        step = max(1, math.ceil((last - first + 1) / (TICKS + 2)))
        found = [float(self.base) ** power for power in range(first, last + 1, step)]
        if len(found) >= FEWEST_TICKS or self.base != 10:
            return found or [self.low, self.high]
        fine = [m * 10.0**power for power in range(first - 1, last + 1) for m in (1, 2, 5)]
        return [value for value in fine if self.low <= value <= self.high] or [self.low, self.high]


@dataclass(frozen=True)
class Plot:
    """One drawing: what templates/parts/plot.html shows."""

    x: Axis
    y: Axis
    x_title: str
    y_title: str
    dots: list[Dot]
    lines: list[Line]
    diagonal: tuple[float, float, float, float] | None = None  # where y = x

    width, height = WIDTH, HEIGHT
    left, right, top, bottom = LEFT, WIDTH - RIGHT, TOP, HEIGHT - BOTTOM
    middle_x, middle_y = (LEFT + WIDTH - RIGHT) / 2, (TOP + HEIGHT - BOTTOM) / 2


def axis(
    values: Iterable[float],
    write: Writer,
    *,
    is_x: bool,
    base: int | None = 10,
    round_numbers: tuple[float, ...] = (),
) -> Axis:
    """Over all values that can stand on it: a logarithmic one has no place for 0."""
    found = [value for value in values if math.isfinite(value) and (value > 0 or base is None)]
    low, high = (min(found), max(found)) if found else (1.0, 10.0)
    if low == high:
        low, high = (low / 2, high * 2) if base else (low - 1, high + 1)
    places = (LEFT, WIDTH - RIGHT) if is_x else (HEIGHT - BOTTOM, TOP)
    return Axis(low, high, *places, base, write, round_numbers)


def polyline(points: Sequence[Dot]) -> str:
    return " ".join(f"{dot.x},{dot.y}" for dot in points)


def _round_steps(low: float, high: float) -> list[float]:
    """At most TICKS + 1 numbers of one digit's steps between the two."""
    span = high - low
    step = 10.0 ** math.floor(math.log10(span / TICKS)) if span > 0 else 1.0
    step = next(step * times for times in (1, 2, 5, 10) if span / (step * times) <= TICKS)
    first = math.ceil(low / step - 1e-9)
    return [number * step for number in range(first, math.floor(high / step + 1e-9) + 1)]
