"""Points of an imported run, compared with those that are stored.

Known means compared, not counted: a point is known if one with the same metric, step, time and value is stored.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from django.db import transaction

from jobs import series
from jobs.imports.attempts import lay_out
from jobs.imports.foreign import ForeignWriter
from jobs.models import Run, RunMetric, Stream
from jobs.series.codec import NO_STEP, Columns, Ints, Key, concatenate
from jobs.series.version import series_version
from jobs.tracking.points import PREFIX

SOURCE, STREAM, STORED = "run", "import", "stored"
BATCH_POINTS = 10_000
TRIES = 5

Version = list[tuple[Any, ...]]
Flags = npt.NDArray[np.bool_]
ByAttempt = dict[int, dict[str, Columns]]


class StoredPoints(NamedTuple):
    """Result of storing the points of a run."""

    num_added: int
    num_only_here: int  # stored by an earlier import, and not in these files


def store_points(run: Run, writers: Sequence[ForeignWriter]) -> StoredPoints:
    """Add the points that are not stored yet. Points that an earlier import stored under other attempts, or without
    the step and time that they are given now, are laid out again; none is dropped. Raises ValueError if other writers
    do not leave the run alone."""
    writers = _without_copies(writers)
    num_here = sum(len(points) for writer in writers for points in writer.series.values())
    for _ in range(TRIES):
        version = series_version([run.id])
        stored = stored_points(run)
        only_here = _only_stored(stored, writers)
        num_only_here = sum(len(points) for writer in only_here for points in writer.series.values())
        if only_here and num_shared(joined(stored), writers) == num_here:
            return StoredPoints(0, num_only_here)
        wanted = lay_out(_by_start([*only_here, *writers]) if only_here else writers).points
        if _write(run, version, stored, wanted):
            return StoredPoints(max(_num_points(wanted) - _num_points(stored), 0), num_only_here)
    raise ValueError(f"run {run.id} is being written by another process; import it again")


@transaction.atomic
def _write(run: Run, version: Version, stored: ByAttempt, wanted: ByAttempt) -> bool:
    """Store what is wanted; False if the run has changed since `version`, as by another import."""
    Run.objects.select_for_update().get(id=run.id)
    if series_version([run.id]) != version:
        return False
    missing = _missing(stored, wanted)
    streams = Stream.objects.filter(run=run)
    if missing is not None:
        _append(run, missing)
    elif streams.filter(name__startswith=PREFIX).exists():  # a client logs into the run: nothing is moved
        _append(run, _new_points(stored, wanted))
    else:
        streams.delete()
        RunMetric.objects.filter(run=run).delete()
        _append(run, wanted)
    return True


def _num_points(points: ByAttempt) -> int:
    return sum(len(columns.steps) for metrics in points.values() for columns in metrics.values())


def stored_points(run: Run) -> ByAttempt:
    found: ByAttempt = {}
    for one in series.raw(run.id):
        if one.source == SOURCE:
            found.setdefault(one.attempt, {})[one.metric] = one.columns
    return found


def num_shared(stored: Mapping[str, Columns], writers: Sequence[ForeignWriter]) -> int:
    """The points of these writers that are stored."""
    shared = 0
    for metric, columns in _joined(writers).items():
        if metric in stored:
            shared += len(columns.steps) - int(np.count_nonzero(_not_in(columns, stored[metric])))
    return shared


def joined(stored: ByAttempt) -> dict[str, Columns]:
    """Metric -> its points over all attempts."""
    parts: dict[str, list[Columns]] = {}
    for attempt in sorted(stored):
        for metric, columns in stored[attempt].items():
            parts.setdefault(metric, []).append(columns)
    return {metric: concatenate(some) for metric, some in parts.items()}


def _joined(writers: Sequence[ForeignWriter]) -> dict[str, Columns]:
    return joined(
        {
            number: {name: points.columns() for name, points in writer.series.items() if points}
            for number, writer in enumerate(writers)
        }
    )


def _without_copies(writers: Sequence[ForeignWriter]) -> list[ForeignWriter]:
    """The writers without the points that an earlier one holds too, as in a copied file."""
    kept: list[dict[str, Flags]] = [{} for _ in writers]
    for metric in {metric for writer in writers for metric in writer.series}:
        holders = [place for place, writer in enumerate(writers) if metric in writer.series]
        parts = [writers[place].series[metric].columns() for place in holders]
        is_first = np.ones(sum(len(part.steps) for part in parts), dtype=bool)
        if len(parts) > 1:
            is_first = _first_of_equal(np.concatenate([_ranked(part) for part in parts]))
        ends = np.cumsum([len(part.steps) for part in parts])[:-1]
        for place, chosen in zip(holders, np.split(is_first, ends), strict=True):
            kept[place][metric] = chosen
    return [
        writer if all(chosen.all() for chosen in flags.values()) else writer.only(flags)
        for writer, flags in zip(writers, kept, strict=True)
    ]


def _only_stored(stored: ByAttempt, writers: Sequence[ForeignWriter]) -> list[ForeignWriter]:
    """The stored points that these files do not hold, as writers before, between and behind these."""
    present = _joined(writers)
    ends = sorted({end for writer in writers for end in writer.span_us() or ()})
    found = [ForeignWriter(STORED) for _ in range(len(ends) + 1)]
    for metric, columns in joined(stored).items():
        left = columns
        if metric in present:
            left = left.only(_not_in(left, present[metric]))
            for lacks_step, lacks_time in ((True, False), (False, True), (True, True)):
                left = left.only(_has_no_fuller(left, present[metric], lacks_step, lacks_time))
        places = np.searchsorted(ends, left.times_us, side="left")
        for place in np.unique(places).tolist():
            found[place].add_columns(metric, left.only(places == place))
    return [writer for writer in found if writer.series]


def _has_no_fuller(columns: Columns, others: Columns, lacks_step: bool, lacks_time: bool) -> Flags:
    """Earlier versions stored points without a step, or at the time 0, that are numbered and dated now. False for such
    a point if `others` holds it with a step or time."""
    is_bare = np.ones(len(columns.steps), dtype=bool)
    if lacks_step:
        is_bare &= columns.steps == NO_STEP
    if lacks_time:
        is_bare &= columns.times_us == 0
    kept = np.ones(len(columns.steps), dtype=bool)
    if is_bare.any():
        bare, full = columns.only(is_bare), others
        zeros, many = np.zeros_like(bare.steps), np.zeros_like(full.steps)
        if lacks_step:
            bare, full = bare._replace(steps=zeros), full._replace(steps=many)
        if lacks_time:
            bare, full = bare._replace(times_us=zeros), full._replace(times_us=many)
        kept[is_bare] = _not_in(bare, full)
    return kept


def _missing(stored: ByAttempt, wanted: ByAttempt) -> ByAttempt | None:
    """The points to append; None if stored points are to be moved to another attempt."""
    missing: ByAttempt = {}
    for attempt, metrics in stored.items():
        for metric, columns in metrics.items():
            there = wanted.get(attempt, {}).get(metric)
            if there is None or _not_in(columns, there).any():
                return None
    for attempt, metrics in wanted.items():
        for metric, columns in metrics.items():
            known = stored.get(attempt, {}).get(metric)
            new = columns if known is None else columns.only(_not_in(columns, known))
            if len(new.steps):
                missing.setdefault(attempt, {})[metric] = new
    return missing


def _not_in(columns: Columns, others: Columns) -> Flags:
    """The points without a counterpart; of equal points, as many have one as there are in `others`."""
    count = len(others.steps)
    if count <= len(columns.steps) and all(
        np.array_equal(mine[:count].view("<i8"), their.view("<i8"))
        for mine, their in zip(columns, others, strict=True)
    ):
        return np.arange(len(columns.steps)) >= count
    return _first_of_equal(np.concatenate([_ranked(others), _ranked(columns)]))[count:]


def _first_of_equal(rows: Ints) -> Flags:
    """Whether a row is the first of those that are equal."""
    order = np.lexsort(rows.T[::-1])
    ordered = rows[order]
    is_first = np.ones(len(rows), dtype=bool)
    is_first[order[1:]] = (ordered[1:] != ordered[:-1]).any(axis=1)
    return is_first


def _ranked(columns: Columns) -> Ints:
    """Rows of step, time, value's bits, and the number of equal rows before each."""
    rows = np.stack([columns.steps, columns.times_us, columns.values.view("<i8")], axis=1)
    order = np.lexsort(rows.T[::-1])
    ordered = rows[order]
    is_first = np.concatenate([[True], (ordered[1:] != ordered[:-1]).any(axis=1)])[: len(rows)]
    starts = np.flatnonzero(is_first)
    rank = np.empty(len(rows), dtype="<i8")
    rank[order] = np.arange(len(rows)) - np.repeat(starts, np.diff([*starts, len(rows)]))
    return np.concatenate([rows, rank[:, None]], axis=1)


def _by_start(writers: Sequence[ForeignWriter]) -> list[ForeignWriter]:
    """Writers in the order of their first points; ties stay in the given order."""
    return sorted(writers, key=lambda writer: (writer.span_us() or (0, 0))[0])


def _new_points(stored: ByAttempt, wanted: ByAttempt) -> ByAttempt:
    """The points that no attempt holds, by the attempt that they should be in."""
    known = joined(stored)
    found: ByAttempt = {}
    for attempt, metrics in wanted.items():
        for metric, columns in metrics.items():
            new = columns.only(_not_in(columns, known[metric])) if metric in known else columns
            if len(new.steps):
                found.setdefault(attempt, {})[metric] = new
    return found


def _append(run: Run, points: ByAttempt) -> None:
    for attempt in sorted(points):
        stream, _ = Stream.objects.get_or_create(run=run, attempt=attempt, name=STREAM)
        series.fold(stream.id)
        stream.refresh_from_db()
        for seq, groups in enumerate(_batches(points[attempt]), stream.last_seq + 1):
            series.append_columns(run.id, attempt, STREAM, seq, groups)
        series.close(run.id, attempt)


def _batches(metrics: Mapping[str, Columns]) -> Iterator[dict[Key, Columns]]:
    groups: dict[Key, Columns] = {}
    size = 0
    for metric in sorted(metrics):
        columns = metrics[metric]
        for first in range(0, len(columns.steps), BATCH_POINTS):
            part = columns.only(slice(first, first + BATCH_POINTS))
            if size and size + len(part.steps) > BATCH_POINTS:
                yield groups
                groups, size = {}, 0
            groups[metric, SOURCE] = part
            size += len(part.steps)
    if groups:
        yield groups
