"""Read plan of a series: visible points, and how finely each chunk is read."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from jobs.series import buckets, codec
from jobs.series.axis import Axis
from jobs.series.buckets import Elements
from jobs.series.codec import Columns
from jobs.series.snapshot import Head, Sealed, SeriesKey, Snapshot, points_of, summaries_of
from jobs.series.summary import ROW, Rows

# Up to 64 stored points for each drawn one, decoding them all is the cheapest and exact.
DECODED_PER_POINT = 64
SUMMARISED_POINTS = 4_000_000  # above this, a chunk's extremes are fine enough


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


def choose(snapshot: Snapshot, key: SeriesKey, axis: Axis, points: int) -> Choice:
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


def elements_of(choices: list[Choice]) -> list[Elements | None]:
    """Fetches the blobs of all series together; None where nothing is left to draw."""
    exact = points_of(chunk for choice in choices for chunk in choice.exact)
    rows = summaries_of(chunk for choice in choices for chunk in choice.summarised)
    return [_joined(choice, exact, rows) for choice in choices]


def _joined(choice: Choice, exact: dict[int, Columns], rows: dict[int, bytes]) -> Elements | None:
    by_step = choice.axis.by_step
    summaries = [rows[chunk.id] for chunk in choice.summarised]
    if choice.whole:
        summaries.append(_rows_of(choice.whole).tobytes())
    raw = [_visible(choice, chunk.attempt, exact[chunk.id]) for chunk in choice.exact] + choice.tail
    parts = []
    if summaries:  # joined as bytes: numpy looks at every field of every part, which was half of a wide read
        parts.append(buckets.of_rows(np.frombuffer(b"".join(summaries), dtype=ROW), by_step=by_step))
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
