"""Summaries of 64 points each, read by wide charts instead of the points."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from jobs.series.codec import NO_STEP, Columns, Floats

BUCKET = 64  # points a summary row stands for
CHUNK = 4096  # points a chunk holds

# 56 bytes a row. Steps are NO_STEP if no point has one; low, high and mean cover the finite values only: +inf, -inf
# and 0 without any.
ROW = np.dtype(
    [
        ("first_step", "<i8"),
        ("last_step", "<i8"),
        ("first_at_us", "<i8"),
        ("low", "<f8"),
        ("high", "<f8"),
        ("mean", "<f8"),
        ("count", "<u2"),
        ("num_finite", "<u2"),
        ("num_nan", "<u2"),
        ("num_plus", "<u2"),
    ]
)
Rows = npt.NDArray[np.void]


def summarise(columns: Columns, size: int = BUCKET) -> Rows:
    """One ROW for each `size` points; the last row covers the rest."""
    starts = np.arange(0, len(columns.steps), size)
    has_step = columns.steps != NO_STEP
    finite = np.isfinite(columns.values)
    rows = np.zeros(len(starts), dtype=ROW)
    rows["first_step"] = np.minimum.reduceat(
        np.where(has_step, columns.steps, np.iinfo(np.int64).max), starts
    )
    rows["last_step"] = np.maximum.reduceat(columns.steps, starts)
    rows["first_step"][rows["last_step"] == NO_STEP] = NO_STEP
    rows["first_at_us"] = np.minimum.reduceat(columns.times_us, starts)
    rows["count"] = np.diff(np.append(starts, len(columns.steps)))
    rows["num_finite"] = np.add.reduceat(finite, starts, dtype=np.int64)
    rows["num_nan"] = np.add.reduceat(np.isnan(columns.values), starts, dtype=np.int64)
    rows["num_plus"] = np.add.reduceat(columns.values == np.inf, starts, dtype=np.int64)
    rows["low"] = np.minimum.reduceat(np.where(finite, columns.values, np.inf), starts)
    rows["high"] = np.maximum.reduceat(np.where(finite, columns.values, -np.inf), starts)
    rows["mean"] = weighted_mean(np.where(finite, columns.values, 0.0), finite, starts)
    return rows


def weighted_mean(values: Floats, weights: npt.NDArray[np.generic], starts: npt.NDArray[np.int64]) -> Floats:
    """Means of the groups that begin at `starts`; divides before adding, so that huge values do not overflow."""
    totals = np.add.reduceat(weights, starts, dtype=np.float64)
    lengths = np.concatenate([starts[1:], [len(values)]]) - starts
    return np.add.reduceat(values * (weights / np.maximum(totals, 1.0).repeat(lengths)), starts)
