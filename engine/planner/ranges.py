"""A predicted figure: never one number, always the span it is expected in."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Range:
    """low <= point <= high, in whatever unit the name that holds it says."""

    low: float
    point: float
    high: float

    @classmethod
    def exactly(cls, value: float) -> Range:
        return cls(value, value, value)

    def __add__(self, other: Range) -> Range:
        return Range(self.low + other.low, self.point + other.point, self.high + other.high)

    def scaled(self, low: float, point: float | None = None, high: float | None = None) -> Range:
        """Times one factor, or times one for each of the three."""
        middle = low if point is None else point
        return Range(self.low * low, self.point * middle, self.high * (middle if high is None else high))

    def under(self, amount: float) -> Range:
        """`amount` over it: what is low below the line is high above it. Infinite over 0."""
        high, point, low = (
            amount / part if part else float("inf") for part in (self.low, self.point, self.high)
        )
        return Range(low, point, high)


NOTHING = Range(0.0, 0.0, 0.0)


def total(ranges: Iterable[Range]) -> Range:
    """Of parts that stretch together (all fast or all slow), which is the widest honest span."""
    low = point = high = 0.0
    for part in ranges:
        low, point, high = low + part.low, point + part.point, high + part.high
    return Range(low, point, high)
