"""Read plan of a series: visible points, and how finely each chunk is read."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from jobs.series import buckets, codec
from jobs.series.axis import XAxis
from jobs.series.buckets import Elements
from jobs.series.codec import Columns
from jobs.series.snapshot import AttemptStart, Sealed, SeriesKey, SeriesSnapshot, points_of, summaries_of
from jobs.series.summary import ROW, Rows

# Up to 64 stored points for each drawn point, decoding all of them is cheapest, and exact.
DECODED_PER_POINT = 64
SUMMARISED_POINTS = 4_000_000  # above this, the extremes of whole chunks are fine enough


@dataclass
class ReadPlan:
    """The parts of one series to read, sorted by how finely they are read."""

    axis: XAxis
    cuts: dict[int, int]  # attempt -> first step that a later attempt repeated
    tail: list[Columns] = field(default_factory=list)
    exact: list[Sealed] = field(default_factory=list)
    summarised: list[Sealed] = field(default_factory=list)
    whole: list[Sealed] = field(default_factory=list)
    superseded: int = 0


def plan_read(snapshot: SeriesSnapshot, key: SeriesKey, axis: XAxis, points: int) -> ReadPlan:
    choice = ReadPlan(axis, _cuts(snapshot.starts.get(key.run, {})))
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


def _cuts(starts: dict[int, AttemptStart]) -> dict[int, int]:
    """For each attempt, the lowest step that any later attempt recorded."""
    cuts = {}
    lowest: int | None = None
    for attempt in sorted(starts, reverse=True):
        if lowest is not None:
            cuts[attempt] = lowest
        first = starts[attempt].first_step
        if first is not None:
            lowest = first if lowest is None else min(lowest, first)
    return cuts


def _visible(choice: ReadPlan, attempt: int, columns: Columns) -> Columns:
    """The points within the axis that no later attempt repeated; counts the repeated ones."""
    position = columns.steps if choice.axis.by_step else columns.times_us
    keep = (position >= choice.axis.lo) & (position <= choice.axis.hi)
    if (cut := choice.cuts.get(attempt)) is not None:
        again = keep & (columns.steps >= cut)
        choice.superseded += int(np.count_nonzero(again))
        keep &= ~again
    return columns if keep.all() else columns.only(keep)


def _ends(axis: XAxis, chunk: Sealed) -> tuple[int | None, int | None]:
    return (chunk.first_step, chunk.last_step) if axis.by_step else (chunk.first_at_us, chunk.last_at_us)


def _is_inside(choice: ReadPlan, chunk: Sealed) -> bool:
    first, last = _ends(choice.axis, chunk)
    if first is None or last is None or last < choice.axis.lo or first > choice.axis.hi:
        return False
    cut = choice.cuts.get(chunk.attempt)
    is_replaced = cut is not None and chunk.first_step is not None and chunk.first_step >= cut
    if is_replaced and first >= choice.axis.lo and last <= choice.axis.hi:
        choice.superseded += chunk.num_points
        return False
    return True


def _is_cut(choice: ReadPlan, chunk: Sealed) -> bool:
    """Whether only a part of the chunk is visible, so that its points must be read."""
    first, last = _ends(choice.axis, chunk)
    assert first is not None and last is not None
    if first < choice.axis.lo or last > choice.axis.hi:
        return True
    cut = choice.cuts.get(chunk.attempt)
    return cut is not None and chunk.last_step is not None and chunk.last_step >= cut


def elements_of(choices: list[ReadPlan]) -> list[Elements | None]:
    """The elements of each series, read together; None for a series without visible points."""
    exact = points_of(chunk for choice in choices for chunk in choice.exact)
    rows = summaries_of(chunk for choice in choices for chunk in choice.summarised)
    return [_joined(choice, exact, rows) for choice in choices]


def _joined(choice: ReadPlan, exact: dict[int, Columns], rows: dict[int, bytes]) -> Elements | None:
    by_step = choice.axis.by_step
    summaries = [rows[chunk.id] for chunk in choice.summarised]
    if choice.whole:
        summaries.append(_rows_of(choice.whole).tobytes())
    raw = [_visible(choice, chunk.attempt, exact[chunk.id]) for chunk in choice.exact] + choice.tail
    parts = []
    if summaries:  # joined as bytes: numpy checks every field of every part, which took half of a wide read
        parts.append(
            buckets.elements_from_rows(np.frombuffer(b"".join(summaries), dtype=ROW), by_step=by_step)
        )
    if raw:
        parts.append(buckets.elements_from_points(codec.concatenate(raw), by_step=by_step))
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
