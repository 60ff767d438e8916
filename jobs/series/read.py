"""Reading series for charts: few enough buckets to draw, exact points where they fit, attempts told apart."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field

import numpy as np

from jobs.series import axis as axes
from jobs.series import buckets, codec
from jobs.series.axis import Axis, X
from jobs.series.buckets import Elements
from jobs.series.codec import Columns, Floats, Ints
from jobs.series.snapshot import Head, Sealed, SeriesKey, Snapshot, points_of, summaries_of, take
from jobs.series.summary import BUCKET, ROW, Rows

DECODED_PER_POINT = (
    64  # up to 64 stored points for each drawn one, decoding them all is the cheapest and exact
)
SUMMARISED_POINTS = 4_000_000  # above this, a chunk's extremes are fine enough
TOKEN_KEYS = ("tokens", "run")


@dataclass(frozen=True)
class Series:
    """One line with its band. min = max = mean where is_raw; all three NaN where no value is finite."""

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
    non_finite: list[tuple[float, str]]  # x and NaN, Infinity or -Infinity; one of a kind a bucket
    borders: list[float]  # where each later attempt begins
    border_attempts: list[int]  # the numbers of those attempts
    superseded: int  # points left out because a later attempt made their steps again


@dataclass
class Choice:
    """What of one series is drawn, and how finely its chunks are read."""

    axis: Axis
    cuts: dict[int, int]  # attempt -> first step that a later attempt made again
    tail: list[Columns] = field(default_factory=list)
    exact: list[Sealed] = field(default_factory=list)
    summarised: list[Sealed] = field(default_factory=list)
    whole: list[Sealed] = field(default_factory=list)
    superseded: int = 0


def read(
    run_ids: Sequence[str],
    metrics: Sequence[str],
    *,
    x: X = "step",
    points: int = 1000,
    lo: float | None = None,
    hi: float | None = None,
    sources: Collection[str] | None = None,
) -> list[Series]:
    """The series of these runs from `lo` to `hi` (in units of x), each drawn with at most `points` buckets.

    Ordered by run, metric (as given) and source. A series without steps has no place on an axis of steps or tokens
    and is left out there, as is one of a run without tokens on an axis of tokens.
    """
    extra = [TOKEN_KEYS[0]] if x == "tokens" else []
    wanted_sources = None if sources is None else {*sources, *(TOKEN_KEYS[1:] if extra else ())}
    snapshot = take(run_ids, {*metrics, *extra}, wanted_sources)
    lines = {run: _axis(snapshot, run, x, lo, hi) for run in run_ids}
    chosen: dict[SeriesKey, Choice] = {}
    for key in sorted(snapshot.keys(), key=lambda key: _rank(key, run_ids, metrics)):
        axis = lines[key.run]
        if axis and key.metric in metrics and (sources is None or key.source in sources):
            chosen[key] = _choose(snapshot, key, axis, points)
    elements = _elements(list(chosen.values()))
    pairs = [
        (key, choice, some) for (key, choice), some in zip(chosen.items(), elements, strict=True) if some
    ]
    return _drawn(snapshot, pairs, points)


def _rank(key: SeriesKey, run_ids: Sequence[str], metrics: Sequence[str]) -> tuple[int, int, int, str]:
    metric = metrics.index(key.metric) if key.metric in metrics else len(metrics)
    return run_ids.index(key.run), metric, len(key.source), key.source


def _axis(snapshot: Snapshot, run: str, x: X, lo: float | None, hi: float | None) -> Axis | None:
    heads = snapshot.heads.get(run, {})
    if x == "step":
        return axes.steps(lo, hi)
    if x == "time":
        return axes.time(lo, hi)
    if x == "relative":
        return axes.time(lo, hi, min((head.first_at_us for head in heads.values()), default=0))
    choice = _choose(
        snapshot, SeriesKey(run, *TOKEN_KEYS), axes.steps(None, None), DECODED_PER_POINT * BUCKET
    )
    found = _elements([choice])[0]
    if found is None:
        return None
    return axes.tokens(lo, hi, found.position.astype(np.float64), np.maximum.accumulate(found.mean))


def _choose(snapshot: Snapshot, key: SeriesKey, axis: Axis, points: int) -> Choice:
    choice = Choice(axis, _cuts(snapshot.heads.get(key.run, {})))
    for attempt, columns in snapshot.tails.get(key, {}).items():
        visible = _visible(choice, attempt, columns)
        if len(visible.steps):
            choice.tail.append(visible)
    inside = [chunk for chunk in snapshot.chunks.get(key, []) if _is_inside(choice, chunk)]
    stored = sum(chunk.num_points for chunk in inside) + sum(len(columns.steps) for columns in choice.tail)
    for chunk in inside:
        if stored <= DECODED_PER_POINT * points or _is_cut(choice, chunk):
            choice.exact.append(chunk)
        elif stored <= SUMMARISED_POINTS:
            choice.summarised.append(chunk)
        else:
            choice.whole.append(chunk)
    return choice


def _cuts(heads: dict[int, Head]) -> dict[int, int]:
    """For each attempt the lowest step that any later one made."""
    cuts = {}
    lowest: int | None = None
    for attempt in sorted(heads, reverse=True):
        if lowest is not None:
            cuts[attempt] = lowest
        first = heads[attempt].first_step
        if first is not None:
            lowest = first if lowest is None else min(lowest, first)
    return cuts


def _visible(choice: Choice, attempt: int, columns: Columns) -> Columns:
    """The points inside the axis that no later attempt made again; counts the others of those inside."""
    position = columns.steps if choice.axis.by_step else columns.times_us
    keep = (position >= choice.axis.lo) & (position <= choice.axis.hi)
    if (cut := choice.cuts.get(attempt)) is not None:
        again = keep & (columns.steps >= cut)
        choice.superseded += int(np.count_nonzero(again))
        keep &= ~again
    return columns if keep.all() else columns.only(keep)


def _ends(axis: Axis, chunk: Sealed) -> tuple[int | None, int | None]:
    return (chunk.first_step, chunk.last_step) if axis.by_step else (chunk.first_at_us, chunk.last_at_us)


def _is_inside(choice: Choice, chunk: Sealed) -> bool:
    first, last = _ends(choice.axis, chunk)
    if first is None or last is None or last < choice.axis.lo or first > choice.axis.hi:
        return False
    cut = choice.cuts.get(chunk.attempt)
    is_replaced = cut is not None and chunk.first_step is not None and chunk.first_step >= cut
    if is_replaced and first >= choice.axis.lo and last <= choice.axis.hi:
        choice.superseded += chunk.num_points
        return False
    return True


def _is_cut(choice: Choice, chunk: Sealed) -> bool:
    """Only a part of the chunk is drawn: its points decide which."""
    first, last = _ends(choice.axis, chunk)
    assert first is not None and last is not None
    if first < choice.axis.lo or last > choice.axis.hi:
        return True
    cut = choice.cuts.get(chunk.attempt)
    return cut is not None and chunk.last_step is not None and chunk.last_step >= cut


def _elements(choices: list[Choice]) -> list[Elements | None]:
    """Fetches the blobs of all series together; None where nothing is left to draw."""
    exact = points_of(chunk for choice in choices for chunk in choice.exact)
    rows = summaries_of(chunk for choice in choices for chunk in choice.summarised)
    return [_elements_of(choice, exact, rows) for choice in choices]


def _elements_of(choice: Choice, exact: dict[int, Columns], rows: dict[int, Rows]) -> Elements | None:
    by_step = choice.axis.by_step
    summarised = [rows[chunk.id] for chunk in choice.summarised]
    if choice.whole:
        summarised.append(_rows_of(choice.whole))
    raw = [_visible(choice, chunk.attempt, exact[chunk.id]) for chunk in choice.exact] + choice.tail
    parts = [buckets.of_rows(np.concatenate(summarised), by_step=by_step)] if summarised else []
    if raw:
        parts.append(buckets.of_points(codec.concatenate(raw), by_step=by_step))
    if not parts:
        return None
    found = buckets.in_order(parts)
    if by_step and found.position[:1] == codec.NO_STEP:
        found = found.only(found.position != codec.NO_STEP)
    return found if len(found.position) else None


def _rows_of(chunks: list[Sealed]) -> Rows:
    """Chunks as rows of a summary with one row each."""
    rows = np.zeros(len(chunks), dtype=ROW)
    for row, chunk in zip(rows, chunks, strict=True):
        row["first_step"] = codec.NO_STEP if chunk.first_step is None else chunk.first_step
        row["first_at_us"], row["count"] = chunk.first_at_us, chunk.num_points
        row["low"] = np.inf if chunk.low is None else chunk.low
        row["high"] = -np.inf if chunk.high is None else chunk.high
        row["mean"] = chunk.mean or 0.0
        row["num_finite"], row["num_nan"], row["num_plus"] = chunk.num_finite, chunk.num_nan, chunk.num_plus
    return rows


def _drawn(snapshot: Snapshot, pairs: list[tuple[SeriesKey, Choice, Elements]], points: int) -> list[Series]:
    """Series with few points as they are, the others on one grid of buckets that they share."""
    xs = [choice.axis.to_x(elements.position) for _, choice, elements in pairs]
    is_raw = [
        len(found) <= points and not (choice.summarised or choice.whole)
        for found, (_, choice, _) in zip(xs, pairs, strict=True)
    ]
    wide = [found for found, is_small in zip(xs, is_raw, strict=True) if not is_small]
    first, width = _grid(wide, points) if wide else (0.0, 1.0)
    drawn = []
    for (key, choice, elements), found, is_small in zip(pairs, xs, is_raw, strict=True):
        borders = _borders(snapshot.heads.get(key.run, {}), choice.axis)
        drawing = (
            buckets.draw_each(elements, found)
            if is_small
            else buckets.draw_buckets(elements, found, first, width)
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
                count=int(elements.num_points.sum()),
                is_raw=is_small,
                non_finite=drawing.non_finite,
                borders=list(borders.values()),
                border_attempts=list(borders),
                superseded=choice.superseded,
            )
        )
    return drawn


def _grid(xs: list[Ints | Floats], points: int) -> tuple[float, float]:
    """First edge and width. Whole steps make whole widths, so that a bucket holds as many steps as the next."""
    first, last = min(x[0] for x in xs), max(x[-1] for x in xs)
    if xs[0].dtype.kind == "i":
        return int(first), int(-((first - last - 1) // points))
    # A hair more than the span over the points: the last point must not fall into a bucket of its own.
    return float(first), float(max((last - first) / points * (1 + 1e-9), np.finfo(np.float64).tiny))


def _borders(heads: dict[int, Head], axis: Axis) -> dict[int, float]:
    """Attempt -> where it begins, of those after the first."""
    places = {attempt: axis.border(heads[attempt]) for attempt in sorted(heads)[1:]}
    return {attempt: place for attempt, place in places.items() if place is not None}
