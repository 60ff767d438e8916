"""Ingest of an attempt's spool files into the database, each line exactly once.

The read position of a file (SpoolOffset) moves by a conditional UPDATE in the transaction that stores what was read, so
a reader whose position is stale rolls back, and one that is killed loses and repeats nothing. An incomplete last line
waits for its end; a line that cannot be read is counted and skipped.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from django.conf import settings
from django.db import IntegrityError, transaction
from django.db.models import F

from engine.directory import AttemptDirectory
from engine.telemetry import clock
from engine.telemetry.wire import SpoolLine, decode, number
from jobs import series
from jobs.accounting import utilisation
from jobs.attempts import checkpoints, outputs, timelines, traces
from jobs.attempts.spool_points import COLUMN_STEP, points_from_line
from jobs.lifecycle.transitions import move_job
from jobs.models import Attempt, AttemptNode, Event, Job, Run, RunOutput, SpoolOffset, StepTimeline
from jobs.states.jobs import JobState

READ_BYTES = 1024 * 1024  # of one file per transaction: about 5,000 lines
TEXT_LIMIT = 2000  # of a note
NUL = b"\\u0000"


class StaleOffset(Exception):
    """Another reader has moved the offset since it was read."""


@dataclass
class SpoolChunk:
    """New complete lines of one spool file, parsed."""

    file: str
    start: int
    end: int
    points: list[series.Point] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)  # one reason per unreadable line


@dataclass
class SpoolUpdate:
    """Changes outside the series, collected from the new lines of all files."""

    missing: dict[str, dict[str, list[str]]] = field(default_factory=dict)
    phases: dict[str, float] = field(default_factory=dict)
    events: list[Event] = field(default_factory=list)
    step: int | None = None
    first_step_at: float | None = None
    last_step_at: float = 0.0
    utilisation: dict[str, list[utilisation.UtilisationReading]] = field(default_factory=dict)  # by device
    checkpoints: list[checkpoints.SavedCheckpoint] = field(default_factory=list)
    ending: str = ""
    clock: dict[str, Any] = field(default_factory=dict)
    timelines: list[StepTimeline] = field(default_factory=list)
    traces: list[SpoolLine] = field(default_factory=list)
    outputs: list[RunOutput] = field(default_factory=list)


def ingest(attempt: Attempt, attempt_node: AttemptNode | None = None, *, node_dir: Path | None = None) -> int:
    """Store the new lines of an attempt's spool, at most READ_BYTES of each file. Returns the number of bytes read.

    Updates `attempt` in place, but not its job and run. `attempt_node`: the node, in a multi-node attempt, to read.
    `node_dir`: the folder of the node, FOURWALLS_NODE_DIR by default.
    """
    is_first = attempt_node is None or attempt_node.node_id == attempt.node_id
    own_path = attempt_node.directory if attempt_node else attempt.directory
    directory = AttemptDirectory((node_dir or Path(settings.NODE_DIR)) / own_path)
    offsets = {row.file: row for row in SpoolOffset.objects.filter(attempt=attempt)}
    update, chunks = SpoolUpdate(), []
    for path in sorted(directory.spool.glob("*.jsonl")):
        # Names of rank files are unique; every node has a file of its supervisor and one of its devices.
        is_shared_name = not is_first and not path.name.startswith("rank")
        name = f"{attempt_node.node_id}-{path.name}" if attempt_node and is_shared_name else path.name
        start = offsets[name].offset_bytes if name in offsets else 0
        content = read_whole_lines(path, start)
        if content:
            chunks.append(_parse_chunk(name, start, content, update))
    if not chunks:
        return 0
    # Only the node of rank 0 writes the attempt's row.
    changes = _attempt_changes(attempt, directory, update) if is_first else {}
    try:
        with transaction.atomic():
            for chunk in chunks:
                _store_chunk(attempt, chunk, offsets.get(chunk.file), update)
            _apply_update(attempt, update, changes)
            traces.record_files(attempt, attempt_node.node if attempt_node else attempt.node, update.traces)
            if is_first and update.checkpoints:
                checkpoints.record(attempt, directory, update.checkpoints)
    except (StaleOffset, IntegrityError):
        return 0
    for name, value in changes.items():
        setattr(attempt, name, value)
    return sum(chunk.end - chunk.start for chunk in chunks)


def read_whole_lines(path: Path, start: int) -> bytes:
    """Return the bytes from `start` up to the last newline; b'' if there is no newline.

    READ_BYTES without a newline cannot be a valid line: they are returned whole, to be counted and skipped.
    """
    try:
        with path.open("rb") as file:
            file.seek(start)
            content = file.read(READ_BYTES)
    except OSError:
        return b""
    whole = content[: content.rfind(b"\n") + 1]
    return content if not whole and len(content) == READ_BYTES else whole


def _parse_chunk(name: str, start: int, content: bytes, update: SpoolUpdate) -> SpoolChunk:
    chunk = SpoolChunk(name, start, start + len(content))
    for text in content.split(b"\n"):
        if not text:
            continue
        try:
            if NUL in text:
                raise ValueError("a NUL character")  # PostgreSQL cannot store it
            line = decode(text)
            points = points_from_line(line)
        except ValueError as error:
            chunk.errors.append(str(error))
            continue
        chunk.points += points
        if line.missing:
            update.missing[line.source] = {metric: list(why) for metric, why in line.missing.items()}
        LINE_HANDLERS[line.k](line, update)
    return chunk


def _add_step(line: SpoolLine, update: SpoolUpdate) -> None:
    if not 0 <= (line.step or 0) <= COLUMN_STEP:  # a point, but no progress of a job
        return
    update.step = max(update.step or 0, line.step or 0)  # a rank may report a step one step late
    if update.first_step_at is None:
        update.first_step_at = line.at
    update.last_step_at = max(update.last_step_at, line.at)


def _add_phase(line: SpoolLine, update: SpoolUpdate) -> None:
    if line.seconds is not None:
        update.phases[line.text] = line.seconds


def _add_clock(line: SpoolLine, update: SpoolUpdate) -> None:
    seconds = {name: number(value) for name, value in line.metrics.items() if name in clock.BY_NAME}
    if line.source == "rank0" and all(0 <= value < math.inf for value in seconds.values()):
        update.clock = {
            "at": line.at,
            "first_step": line.number or 0,
            "step": line.step or 0,
            "seconds": seconds,
        }


def _add_checkpoint(line: SpoolLine, update: SpoolUpdate) -> None:
    if line.step is None:
        return
    loss = number(line.metrics.get("validation_loss", math.nan))
    update.checkpoints.append((line.text, line.step, line.at, loss if math.isfinite(loss) else None))
    took = f", saved in {line.seconds:.2g} s" if line.seconds is not None else ""
    if "checkpoint_block_s" in line.metrics:
        took += f", for which training waited {number(line.metrics['checkpoint_block_s']):.2g} s"
    update.events.append(
        Event(actor=line.source, kind="checkpoint", text=f"Checkpoint at step {line.step}{took}.")
    )


def _add_note(line: SpoolLine, update: SpoolUpdate) -> None:
    update.events.append(Event(actor=line.source, kind=f"note.{line.level}", text=line.text[:TEXT_LIMIT]))


def _add_result(line: SpoolLine, update: SpoolUpdate) -> None:
    update.ending = line.text[:TEXT_LIMIT]


def _add_outputs(line: SpoolLine, update: SpoolUpdate) -> None:
    update.outputs += outputs.parse_line(line)


def _ignore(line: SpoolLine, update: SpoolUpdate) -> None:
    del line, update


def _add_timeline(line: SpoolLine, update: SpoolUpdate) -> None:
    update.timelines.append(timelines.build_row(line))


def _add_trace(line: SpoolLine, update: SpoolUpdate) -> None:
    update.traces.append(line)


def _add_utilisation(line: SpoolLine, update: SpoolUpdate) -> None:
    pct = number(line.metrics.get(utilisation.METRIC, math.nan))
    if math.isfinite(pct):
        update.utilisation.setdefault(line.source.removeprefix("device:"), []).append((line.at, pct))


LINE_HANDLERS: dict[str, Callable[[SpoolLine, SpoolUpdate], None]] = {
    "step": _add_step,
    "validation": _ignore,
    "device": _add_utilisation,
    "phase": _add_phase,
    "checkpoint": _add_checkpoint,
    "note": _add_note,
    "result": _add_result,
    "timeline": _add_timeline,
    "trace": _add_trace,
    "output": _add_outputs,
    "clock": _add_clock,
}


def _store_chunk(attempt: Attempt, chunk: SpoolChunk, row: SpoolOffset | None, update: SpoolUpdate) -> None:
    """Store the points of one file and move its offset."""
    if row is None:
        row = SpoolOffset.objects.create(attempt=attempt, file=chunk.file)
    moved = SpoolOffset.objects.filter(id=row.id, offset_bytes=chunk.start).update(
        offset_bytes=chunk.end,
        num_batches=F("num_batches") + (1 if chunk.points else 0),
        num_bad_lines=F("num_bad_lines") + len(chunk.errors),
    )
    if not moved:
        raise StaleOffset
    if chunk.points:
        series.append(attempt.job.run.id, attempt.number, chunk.file, row.num_batches, chunk.points)
    if chunk.errors and not row.num_bad_lines:
        text = f"{chunk.file} has lines that cannot be read; they are skipped. The first: {chunk.errors[0]}."
        update.events.append(Event(actor="ingest", kind="note.warning", text=text[:TEXT_LIMIT]))


def _attempt_changes(attempt: Attempt, directory: AttemptDirectory, update: SpoolUpdate) -> dict[str, Any]:
    """Return the columns of the attempt that the update changes."""
    changes: dict[str, Any] = {}
    if update.phases:
        changes["phases"] = attempt.phases | update.phases
    if update.clock:
        changes["clock"] = update.clock
    if update.checkpoints:
        folder, step, at, _ = update.checkpoints[-1]
        changes["checkpoint"] = f"{checkpoints.place_of(attempt, directory)['path']}/{Path(folder).name}"
        changes["checkpoint_step"] = step
        changes["checkpoint_at"] = datetime.fromtimestamp(at, UTC)
    if update.ending:
        changes["reason"] = update.ending
    return changes


def _apply_update(attempt: Attempt, update: SpoolUpdate, changes: dict[str, Any]) -> None:
    """Write the update. Locks attempt, job and run in this order, as everywhere, so that PostgreSQL never deadlocks."""
    if changes:
        Attempt.objects.filter(id=attempt.id).update(**changes)
    if update.step is not None:
        _apply_step(attempt, update.step, update)
    if update.missing:
        run = Run.objects.select_for_update().get(job_id=attempt.job_id)
        run.missing = run.missing | update.missing
        run.save(update_fields=["missing"])
    if update.outputs:
        outputs.store(attempt, update.outputs)
    if update.utilisation:
        utilisation.record_readings(attempt, update.utilisation)
    if update.timelines:
        timelines.store(attempt, update.timelines)
    for event in update.events:
        event.job_id, event.attempt_number = attempt.job_id, attempt.number
    Event.objects.bulk_create(update.events)


def _apply_step(attempt: Attempt, step: int, update: SpoolUpdate) -> None:
    rows = Job.objects.filter(id=attempt.job_id, attempt_number=attempt.number)
    rows.update(step=step, stepped_at=datetime.fromtimestamp(update.last_step_at, UTC))
    job = rows.only("state", "started_at").first()
    if job is None:
        return
    if job.started_at is None:
        rows.update(started_at=datetime.fromtimestamp(update.first_step_at or 0.0, UTC))
    if job.state == JobState.STARTING:
        move_job(attempt.job_id, JobState.RUNNING, actor="ingest", attempt=attempt.number)
