"""Predicted figure with its expected range."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Estimate:
    """low <= point <= high, in the unit of the variable that holds it."""

    low: float
    point: float
    high: float

    @classmethod
    def exactly(cls, value: float) -> Estimate:
        return cls(value, value, value)

    def __add__(self, other: Estimate) -> Estimate:
        return Estimate(self.low + other.low, self.point + other.point, self.high + other.high)

    def scaled(self, low: float, point: float | None = None, high: float | None = None) -> Estimate:
        """Multiply by one factor, or by one factor for each of the three."""
        middle = low if point is None else point
        return Estimate(self.low * low, self.point * middle, self.high * (middle if high is None else high))

    def divide(self, amount: float) -> Estimate:
        """Return `amount` divided by this estimate: the low divisor gives the high result, 0 gives infinity."""
        high, point, low = (
            amount / part if part else float("inf") for part in (self.low, self.point, self.high)
        )
        return Estimate(low, point, high)


ZERO = Estimate(0.0, 0.0, 0.0)


def total(parts: Iterable[Estimate]) -> Estimate:
    """Sum of parts that vary together (all fast or all slow), which gives the widest range."""
    low = point = high = 0.0
    for part in parts:
        low, point, high = low + part.low, point + part.point, high + part.high
    return Estimate(low, point, high)
