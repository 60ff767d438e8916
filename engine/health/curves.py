"""Loss curves and their robust statistics."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Steps = NDArray[np.int64]

NUM_BLOCKS = 20  # parts of a curve whose medians are compared
BLOCK_POINTS = 2  # at least, so that short curves have fewer blocks
FEWEST_BLOCKS = 5
MAD_TO_SIGMA = 1.4826  # of a normal distribution


@dataclass(frozen=True)
class Curve:
    """Values by step. Steps are ascending and occur once; values may be NaN or infinite."""

    steps: Steps
    values: Floats

    @classmethod
    def from_points(cls, steps: Steps, values: Floats) -> Curve:
        """From points in the order in which they were written: the newest value of a step counts."""
        kept = len(steps) - 1 - np.unique(steps[::-1], return_index=True)[1]
        return cls(np.asarray(steps, dtype=np.int64)[kept], np.asarray(values, dtype=np.float64)[kept])

    def __len__(self) -> int:
        return len(self.steps)

    @cached_property
    def finite(self) -> Curve:
        is_finite = np.isfinite(self.values)
        return self if is_finite.all() else Curve(self.steps[is_finite], self.values[is_finite])

    def median_near(self, step: int, num_points: int) -> float:
        """Median of the finite values at the `num_points` steps nearest to a step."""
        nearest = np.argsort(np.abs(self.finite.steps - step), kind="stable")[:num_points]
        return float(np.median(self.finite.values[nearest]))


@dataclass(frozen=True)
class Blocks:
    """A curve in parts of equal length: the median value and the first step of each, and how far medians scatter."""

    medians: Floats
    first_steps: Steps
    centres: Floats  # steps
    noise: float  # standard deviation of a median

    @property
    def progress(self) -> float:
        """How far the median has fallen, at best."""
        return float(self.medians[0] - self.medians.min())


def split_blocks(curve: Curve) -> Blocks | None:
    """None for a curve that is too short to be judged.

    The noise is read from second differences of the medians, in which a trend cancels: it also holds for values that
    are smoothed or correlated, where the scatter of single values would be too small.
    """
    curve = curve.finite
    num_blocks = min(NUM_BLOCKS, len(curve) // BLOCK_POINTS)
    if num_blocks < FEWEST_BLOCKS:
        return None
    parts = np.array_split(np.arange(len(curve)), num_blocks)
    medians = np.array([np.median(curve.values[part]) for part in parts])
    second = np.abs(np.diff(medians, n=2))
    return Blocks(
        medians=medians,
        first_steps=np.array([curve.steps[part[0]] for part in parts]),
        centres=np.array([curve.steps[part].mean() for part in parts]),
        noise=float(MAD_TO_SIGMA * np.median(second) / np.sqrt(6)),
    )


def scatter(values: Floats) -> float:
    """Standard deviation by the median of absolute deviations, which outliers do not move."""
    return float(MAD_TO_SIGMA * np.median(np.abs(values - np.median(values)))) if len(values) else 0.0
