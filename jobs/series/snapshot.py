"""Consistent snapshot of stored series, read by one statement.

A fold moves points from the journal to segments to chunks. Three statements would see three moments, and points would
be missing between them (measured: curves went back in time); one UNION ALL sees one moment. The blobs of chunks never
change, so they are read later, and only those that are needed.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple

from django.db import connection

from jobs.models import Chunk, ChunkData
from jobs.series import codec
from jobs.series.codec import Columns

IDS_PER_QUERY = 500


class SeriesKey(NamedTuple):
    run: str
    metric: str
    source: str


class AttemptStart(NamedTuple):
    """The first step and time of an attempt."""

    first_step: int | None
    first_at_us: int


class Sealed(NamedTuple):
    """A chunk without its blobs."""

    id: int
    attempt: int
    first_step: int | None
    last_step: int | None
    first_at_us: int
    last_at_us: int
    num_points: int
    low: float | None
    high: float | None
    mean: float | None
    num_finite: int
    num_nan: int
    num_plus: int


@dataclass(frozen=True)
class SeriesSnapshot:
    starts: dict[str, dict[int, AttemptStart]]  # run -> attempt -> where it begins
    tails: dict[SeriesKey, dict[int, Columns]]  # points that are not sealed, by attempt
    chunks: dict[SeriesKey, list[Sealed]]

    def keys(self) -> set[SeriesKey]:
        return {*self.tails, *self.chunks}


# kind, run, attempt, metric, source, position, first_step, first_at_us, last_step, last_at_us, count,
# low, high, mean, num_finite, num_nan, num_plus, chunk, data
STARTS = """
SELECT 0, s.run_id, s.attempt, '', '', s.last_seq, s.first_step, s.first_at_us,
       CAST(NULL AS bigint), CAST(NULL AS bigint), CAST(NULL AS bigint),
       CAST(NULL AS double precision), CAST(NULL AS double precision), CAST(NULL AS double precision),
       CAST(NULL AS bigint), CAST(NULL AS bigint), CAST(NULL AS bigint), CAST(NULL AS bigint), CAST(NULL AS bytea)
FROM jobs_stream s WHERE s.run_id IN {runs}"""
JOURNAL = """
SELECT 1, s.run_id, s.attempt, '', '', b.seq, b.first_step, b.first_at_us,
       NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, s.id, b.data
FROM jobs_batch b JOIN jobs_stream s ON s.id = b.stream_id
WHERE s.run_id IN {runs} AND b.seq > s.last_seq"""
SEGMENTS = """
SELECT 2, s.run_id, s.attempt, t.metric, t.source, g.seq, NULL, NULL,
       NULL, NULL, g.count, NULL, NULL, NULL, NULL, NULL, NULL, s.id, g.data
FROM jobs_segment g JOIN jobs_storedseries t ON t.id = g.series_id JOIN jobs_stream s ON s.id = t.stream_id
WHERE s.run_id IN {runs} AND t.metric IN {metrics}"""
CHUNKS = """
SELECT 3, s.run_id, s.attempt, t.metric, t.source, c."index", c.first_step, c.first_at_us,
       c.last_step, c.last_at_us, c.count, c.low, c.high, c.mean, c.num_finite, c.num_nan, c.num_plus, c.id, NULL
FROM jobs_chunk c JOIN jobs_storedseries t ON t.id = c.series_id JOIN jobs_stream s ON s.id = t.stream_id
WHERE s.run_id IN {runs} AND t.metric IN {metrics}"""


def read_snapshot(
    run_ids: Collection[str], metrics: Collection[str], sources: Collection[str] | None = None
) -> SeriesSnapshot:
    """The stored points of these metrics and sources (None: all sources) in these runs."""

    def is_wanted(metric: str, source: str) -> bool:
        return metric in metrics and (sources is None or source in sources)

    starts: dict[str, dict[int, list[AttemptStart]]] = defaultdict(lambda: defaultdict(list))
    parts: dict[SeriesKey, dict[int, list[tuple[tuple[int, int, int], Columns]]]] = defaultdict(
        lambda: defaultdict(list)
    )
    chunks: dict[SeriesKey, list[tuple[int, Sealed]]] = defaultdict(list)
    for kind, run, attempt, metric, source, position, *rest in _rows(run_ids, metrics):
        if kind < 2 and rest[1] is not None:
            starts[run][attempt].append(AttemptStart(rest[0], rest[1]))
        if kind == 1:
            for key, columns in codec.decode_batch(bytes(rest[12]), is_wanted):
                parts[SeriesKey(run, *key)][attempt].append(((rest[11], 1, position), columns))
        elif kind == 2 and is_wanted(metric, source):
            columns = codec.unpack(bytes(rest[12]), rest[4])
            parts[SeriesKey(run, metric, source)][attempt].append(((rest[11], 0, position), columns))
        elif kind == 3 and is_wanted(metric, source):
            first_step, first_at_us, last_step, *others, chunk_id, _ = rest
            sealed = Sealed(chunk_id, attempt, first_step, last_step, first_at_us, *others)
            chunks[SeriesKey(run, metric, source)].append((position, sealed))
    return SeriesSnapshot(
        starts={
            run: {n: _earliest(some) for n, some in by_attempt.items()} for run, by_attempt in starts.items()
        },
        tails={
            key: {n: _joined(some) for n, some in by_attempt.items()} for key, by_attempt in parts.items()
        },
        chunks={key: [sealed for _, sealed in sorted(some)] for key, some in chunks.items()},
    )


def points_of(chunks: Iterable[Sealed]) -> dict[int, Columns]:
    """The exact points of chunks, by the chunk's id."""
    counts = {chunk.id: chunk.num_points for chunk in chunks}
    rows = ChunkData.objects.values_list("chunk_id", "data")
    return {
        chunk_id: codec.decompress(bytes(data), counts[chunk_id])
        for ids in _groups(list(counts))
        for chunk_id, data in rows.filter(chunk_id__in=ids)
    }


def summaries_of(chunks: Iterable[Sealed]) -> dict[int, bytes]:
    """Summaries of chunks, a ROW for each 64 points, by the chunk's id."""
    rows = Chunk.objects.values_list("id", "summary")
    return {
        chunk_id: bytes(summary)
        for ids in _groups([chunk.id for chunk in chunks])
        for chunk_id, summary in rows.filter(id__in=ids)
    }


def _groups(ids: list[int]) -> Iterator[list[int]]:
    for start in range(0, len(ids), IDS_PER_QUERY):
        yield ids[start : start + IDS_PER_QUERY]


def _rows(run_ids: Collection[str], metrics: Collection[str]) -> list[tuple[Any, ...]]:
    if not run_ids or not metrics:
        return []
    runs, names = list(run_ids), list(metrics)
    marks = {"runs": _marks(runs), "metrics": _marks(names)}
    statement = " UNION ALL ".join(part.format(**marks) for part in (STARTS, JOURNAL, SEGMENTS, CHUNKS))
    with connection.cursor() as cursor:
        cursor.execute(statement, [*runs, *runs, *runs, *names, *runs, *names])
        return cursor.fetchall()


def _marks(values: list[str]) -> str:
    return f"({', '.join(['%s'] * len(values))})"


def _earliest(starts: list[AttemptStart]) -> AttemptStart:
    steps = [head.first_step for head in starts if head.first_step is not None]
    return AttemptStart(min(steps, default=None), min(head.first_at_us for head in starts))


def _joined(parts: list[tuple[tuple[int, int, int], Columns]]) -> Columns:
    """In order of arrival: the segments of each stream, then its journal."""
    parts.sort(key=lambda part: part[0])
    return codec.concatenate([columns for _, columns in parts])
