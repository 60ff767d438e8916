"""Deliveries of points: their format, validation and exactly-once storage."""

from __future__ import annotations

import re
from typing import Annotated

import msgspec
import numpy as np
from django.db import connection, transaction
from django.db.models import Max
from msgspec import UNSET, Meta, UnsetType

from engine.request_limits import DELIVERY_BATCHES, DELIVERY_SERIES
from engine.telemetry import point_limits
from jobs import series
from jobs.models import Run, Stream
from jobs.people import storage
from jobs.series.codec import NO_STEP, Columns, Floats, Ints, Key, concatenate
from jobs.tracking import metric_names

NAME = re.compile(r"[\w.-]{1,80}")  # of a writer
PREFIX = "api:"  # separates the writers of the API from others of a run, such as importers
FIND_WRITER = "SELECT attempt FROM jobs_stream WHERE run_id = %s AND name = %s"

Name = Annotated[str, Meta(min_length=1, max_length=80, pattern=r"^[\w.-]+$")]
Steps = list[int | None] | bytes | None
Times = list[float] | bytes
Values = list[float] | bytes


class SeriesIn(msgspec.Struct, forbid_unknown_fields=True):
    """Points of one series, column by column. A column is a list, or little-endian bytes (base64 in JSON): int64 steps
    (the lowest int64: no step), int64 microseconds since 1970, float64 values. `steps: null`: no point has a step.
    Omitted steps and times are those of the batch. In JSON a value may be "NaN", "Infinity" or "-Infinity". `source`:
    run, rank<N>, device:<id> or host:<name>."""

    metric: Annotated[str, Meta(min_length=1, max_length=point_limits.METRIC_CHARS)]
    values: Values
    steps: Steps | UnsetType = UNSET
    times: Times | UnsetType = UNSET
    source: str = "run"


class BatchIn(msgspec.Struct, forbid_unknown_fields=True):
    """Batch `seq` of its stream, counted from 0. Sending a stored batch again changes nothing, so repeating is always
    safe. `times`: unix seconds."""

    seq: Annotated[int, Meta(ge=0, le=2**62)]
    series: list[SeriesIn]
    steps: Steps | UnsetType = UNSET
    times: Times | UnsetType = UNSET


class PointsIn(msgspec.Struct, forbid_unknown_fields=True):
    """Batches of one writer of a run; `stream` is the name of the writer. All batches are stored, or none."""

    stream: Name
    batches: Annotated[list[BatchIn], Meta(min_length=1)]


class PointsError(ValueError):
    """An invalid delivery; the message names the place, the value and what is valid."""


class NotTracked(Exception):
    """The run belongs to a job, whose ranks write its points."""


class WriterPosition(msgspec.Struct, frozen=True):
    """Where a writer starts, or continues after a crash."""

    attempt: int
    last_seq: int  # every batch up to this one is stored
    next_step: int  # the step after the highest of the run


_json = msgspec.json.Decoder(PointsIn, strict=False)  # not strict: "NaN" is a number
_msgpack = msgspec.msgpack.Decoder(PointsIn)

CheckedBatches = dict[int, dict[Key, Columns]]  # by seq


def decode(body: bytes, *, is_msgpack: bool) -> PointsIn:
    """Raises PointsError."""
    try:
        return (_msgpack if is_msgpack else _json).decode(body)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise PointsError(f"{str(error).rstrip('.')}.") from None


def check(delivery: PointsIn) -> CheckedBatches:
    """The columns of each batch. Raises PointsError for points that no series can hold."""
    if broken := DELIVERY_BATCHES.error(len(delivery.batches)):
        raise PointsError(broken)
    if broken := DELIVERY_SERIES.error(sum(len(batch.series) for batch in delivery.batches)):
        raise PointsError(broken)
    found: CheckedBatches = {}
    for number, batch in enumerate(delivery.batches):
        where = f"batches[{number}]"
        if batch.seq in found:
            raise PointsError(f"{where}.seq: this delivery holds batch {batch.seq} twice.")
        found[batch.seq] = _groups(batch, where)
    return found


def store(run: Run, stream: str, batches: CheckedBatches) -> str:
    """Store all batches or none, each exactly once. Returns the sentence for series that the run has no room for, which
    are left out; else ''. Raises NotTracked for a job's run, IntegrityError for a deleted
    run, QuotaReached."""
    refuse_job_run(run)
    storage.refuse_points(run.team)
    left_out = metric_names.find_too_many(run, {key for groups in batches.values() for key in groups})
    with transaction.atomic():
        attempt = _find_attempt(run.id, PREFIX + stream)
        for seq in sorted(batches):
            groups = batches[seq]
            if left_out:
                groups = {key: columns for key, columns in groups.items() if key not in left_out}
            series.append_columns(run.id, attempt, PREFIX + stream, seq, groups)
    return metric_names.describe(left_out) if left_out else ""


def open_writer(run: Run, stream: str, *, launch: str = "", joins: bool = False) -> WriterPosition:
    """The position of a writer; idempotent. A new writer opens a new attempt, which supersedes the steps of earlier
    ones. It shares the attempt of the other writers of its `launch`, whose names begin with it and a dot; with
    `joins`, it shares the newest attempt. Raises NotTracked, PointsError."""
    refuse_job_run(run)
    for name in (stream, *([launch] if launch else [])):
        if not NAME.fullmatch(name):
            raise PointsError(
                f"'{name[:80]}' is not the name of a writer: letters, digits, '.', '_', '-', at most 80."
            )
    with transaction.atomic():
        Run.objects.select_for_update().get(id=run.id)  # two writers of one launch share an attempt
        streams = Stream.objects.filter(run=run)
        own = streams.filter(name=PREFIX + stream).first()
        if own is None:
            newest = streams.aggregate(newest=Max("attempt"))["newest"]
            mate = streams.filter(name__startswith=f"{PREFIX}{launch}.").first() if launch else None
            attempt = mate.attempt if mate else (newest or 1) if joins else (newest or 0) + 1
            own = Stream.objects.create(run=run, attempt=attempt, name=PREFIX + stream)
        return WriterPosition(own.attempt, series.contiguous_end(own.id), _last_step(run.id) + 1)


def is_superseded(run: Run, stream: str) -> bool:
    """Whether a newer attempt than that of this writer exists."""
    streams = Stream.objects.filter(run=run)
    own = streams.filter(name=PREFIX + stream).first()
    return own is not None and streams.filter(attempt__gt=own.attempt).exists()


def _last_step(run_id: str) -> int:
    ends = [name.last_step for name in series.names(run_id) if name.last_step is not None]
    return max([*series.last_steps(run_id).values(), *ends], default=-1)


def refuse_job_run(run: Run) -> None:
    """Raises NotTracked for a job's run."""
    if run.job_id is not None:
        raise NotTracked(
            f"Run {run.id} belongs to a job; only its ranks write its points. "
            f"Log into a run of its own, with {run.id} as its parent."
        )


def _find_attempt(run_id: str, name: str) -> int:
    with connection.cursor() as cursor:
        cursor.execute(FIND_WRITER, [run_id, name])
        found = cursor.fetchone()
    if found is None:  # a writer that was not opened joins the newest attempt
        return Stream.objects.filter(run_id=run_id).aggregate(newest=Max("attempt"))["newest"] or 1
    return found[0]


def _groups(batch: BatchIn, where: str) -> dict[Key, Columns]:
    shared_steps = None if batch.steps is UNSET else _steps(batch.steps, f"{where}.steps")
    shared_times = None if batch.times is UNSET else _times(batch.times, f"{where}.times")
    groups: dict[Key, Columns] = {}
    for number, one in enumerate(batch.series):
        place = f"{where}.series[{number}]"
        values = _values(one.values, f"{place}.values")
        times = shared_times if one.times is UNSET else _times(one.times, f"{place}.times")
        steps = shared_steps if one.steps is UNSET else _steps(one.steps, f"{place}.steps")
        if times is None:
            raise PointsError(f"{place}: neither the series nor its batch has times; send unix seconds.")
        if steps is None:
            steps = np.full(len(values), NO_STEP, dtype="<i8")
        if not len(values) == len(times) == len(steps):
            raise PointsError(
                f"{place}: {len(values)} values, {len(times)} times and {len(steps)} steps; send as many of each."
            )
        if not len(values):
            continue
        key = _key(one, place)
        columns = Columns(steps, times, values)
        groups[key] = concatenate([groups[key], columns]) if key in groups else columns
    return groups


def _key(one: SeriesIn, place: str) -> Key:
    if broken := point_limits.name_error(one.metric):
        raise PointsError(f"{place}.metric: {one.metric!r}: {broken}.")
    if broken := point_limits.source_error(one.source):
        raise PointsError(f"{place}.source: '{one.source[:80]}': {broken}.")
    return one.metric, one.source


def _steps(given: Steps, place: str) -> Ints | None:
    if given is None:
        return None
    if isinstance(given, bytes):
        return _packed(given, "<i8", place)
    try:
        steps = np.array([NO_STEP if step is None else step for step in given], dtype="<i8")
        is_valid = steps.min(initial=0) > NO_STEP or NO_STEP not in given
    except OverflowError:
        is_valid = False
    if not is_valid:
        raise PointsError(f"{place}: {point_limits.STEP_RULE}.")
    return steps


def _times(given: Times, place: str) -> Ints:
    is_packed = isinstance(given, bytes)
    times = _packed(given, "<i8", place) if isinstance(given, bytes) else np.array(given, dtype="<f8")
    end = point_limits.END_US if is_packed else point_limits.END_S
    if len(times) and not (
        times.min() >= 0 and times.max() < end
    ):  # the minimum of a column with a NaN is NaN
        raise PointsError(f"{place}: {point_limits.TIME_RULE}.")
    return times if is_packed else np.rint(times * 1e6).astype("<i8")


def _values(given: Values, place: str) -> Floats:
    return _packed(given, "<f8", place) if isinstance(given, bytes) else np.array(given, dtype="<f8")


def _packed(given: bytes, kind: str, place: str) -> np.ndarray:
    if len(given) % 8:
        raise PointsError(f"{place}: {len(given)} bytes are not a column of 8-byte numbers.")
    return np.frombuffer(given, kind)
