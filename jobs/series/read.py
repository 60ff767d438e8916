"""Series for charts: exact points if they fit, else buckets, by attempt."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from jobs.series import buckets, measured_axes
from jobs.series.axis import X, XAxis
from jobs.series.buckets import Elements
from jobs.series.codec import Floats, Ints
from jobs.series.read_plan import ReadPlan, elements_of, plan_read
from jobs.series.snapshot import AttemptStart, SeriesKey, SeriesSnapshot, read_snapshot


class TooMuch(ValueError):
    """More lines and buckets than one reply may hold; the message gives the numbers and a way out."""


@dataclass(frozen=True)
class Series:
    """One line with its band. min = max = mean if is_raw; all three are NaN in a bucket without finite values."""

    run: str
    metric: str
    source: str
    x: Ints | Floats
    mean: Floats
    min: Floats
    max: Floats
    counts: Ints  # points in each bucket
    count: int  # points in all of them
    is_raw: bool  # every point is shown
    non_finite: list[tuple[float, str]]  # x and NaN, Infinity or -Infinity; each kind once a bucket
    borders: list[float]  # where each later attempt begins
    border_attempts: list[int]  # the numbers of those attempts
    superseded: int  # points left out because a later attempt repeated their steps


def read(
    run_ids: Sequence[str],
    metrics: Sequence[str],
    *,
    x: X = "step",
    points: int = 1000,
    lo: float | None = None,
    hi: float | None = None,
    sources: Collection[str] | None = None,
    limit: int | None = None,
) -> list[Series]:
    """The series of these runs from `lo` to `hi` (in units of x), each drawn with at most `points` buckets.

    Sorted by run, metric (as given) and source. An axis of steps or tokens leaves out series without steps; an axis of
    tokens or energy leaves out runs without these readings. Raises TooMuch if the lines could have more than `limit`
    buckets in all.
    """
    refuse_too_much(len(run_ids) * len(metrics), points, limit)
    behind = measured_axes.BEHIND.get(x, frozenset())
    snapshot = read_snapshot(run_ids, {*metrics, *behind}, None if behind else sources)
    axes = measured_axes.axes_of(snapshot, run_ids, x, lo, hi)
    known = snapshot.keys()
    wanted = [
        key
        for key in known
        if key.run in axes and key.metric in metrics and (sources is None or key.source in sources)
    ]
    refuse_too_much(len(wanted), points, limit)
    chosen = {
        key: plan_read(snapshot, key, axes[key.run], points) for key in _ordered(wanted, run_ids, metrics)
    }
    found = zip(chosen.items(), elements_of(list(chosen.values())), strict=True)
    return _drawn(snapshot, [(key, choice, some) for (key, choice), some in found if some], points)


def refuse_too_much(num_lines: int, points: int, limit: int | None) -> None:
    if limit is not None and num_lines * points > limit:
        fewer = limit // num_lines
        way_out = f"points={fewer:,} or fewer, or " if fewer else ""
        raise TooMuch(
            f"{num_lines:,} lines of {points:,} points are {num_lines * points:,}; one reply has at most "
            f"{limit:,}. Ask for {way_out}fewer runs, metrics or sources at a time."
        )


def _ordered(keys: Sequence[SeriesKey], run_ids: Sequence[str], metrics: Sequence[str]) -> list[SeriesKey]:
    runs, names = _places(run_ids), _places(metrics)
    return sorted(keys, key=lambda key: (runs[key.run], names[key.metric], len(key.source), key.source))


def _places(names: Sequence[str]) -> Mapping[str, int]:
    return {name: place for place, name in enumerate(names)}


def _drawn(
    snapshot: SeriesSnapshot, pairs: list[tuple[SeriesKey, ReadPlan, Elements]], points: int
) -> list[Series]:
    """Series with few points as they are, the others on one shared grid of buckets."""
    xs = [choice.axis.to_x(some.position) for _, choice, some in pairs]
    is_raw = [
        len(found) <= points and not (choice.summarised or choice.whole)
        for found, (_, choice, _) in zip(xs, pairs, strict=True)
    ]
    wide = [found for found, is_small in zip(xs, is_raw, strict=True) if not is_small]
    first, width = _grid(wide, points) if wide else (0.0, 1.0)
    drawn = []
    for (key, choice, some), found, is_small in zip(pairs, xs, is_raw, strict=True):
        borders = _borders(snapshot.starts.get(key.run, {}), choice.axis)
        drawing = (
            buckets.draw_each(some, found) if is_small else buckets.draw_buckets(some, found, first, width)
        )
        drawn.append(
            Series(
                run=key.run,
                metric=key.metric,
                source=key.source,
                x=drawing.x,
                mean=drawing.mean,
                min=drawing.low,
                max=drawing.high,
                counts=drawing.counts,
                count=int(some.num_points.sum()),
                is_raw=is_small,
                non_finite=drawing.non_finite,
                borders=list(borders.values()),
                border_attempts=list(borders),
                superseded=choice.superseded,
            )
        )
    return drawn


def _grid(xs: list[Ints | Floats], points: int) -> tuple[float, float]:
    """First edge and width. Steps get whole widths, so that all buckets hold the same number of steps."""
    first, last = min(x[0] for x in xs), max(x[-1] for x in xs)
    if xs[0].dtype.kind == "i":
        return int(first), int(-((first - last - 1) // points))
    # Slightly more than the span over the points: the last point must not fall into a bucket of its own.
    return float(first), float(max((last - first) / points * (1 + 1e-9), np.finfo(np.float64).tiny))


def _borders(starts: dict[int, AttemptStart], axis: XAxis) -> dict[int, float]:
    """Attempt -> the x at which it begins, for the attempts after the first."""
    places = {attempt: axis.border(starts[attempt]) for attempt in sorted(starts)[1:]}
    return {attempt: place for attempt, place in places.items() if place is not None}
