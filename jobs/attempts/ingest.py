"""From the spool of an attempt to the database: each line exactly once, whenever the reader is killed.

How far a file is read (SpoolOffset) moves in the transaction that stores what was read, by a conditional UPDATE: a
reader that was overtaken rolls back. A line that is not whole yet waits; one that cannot be read is counted.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from django.db import IntegrityError, transaction
from django.db.models import F

from engine.directory import AttemptDirectory
from engine.telemetry.wire import Line, decode, number
from jobs import series
from jobs.accounting import utilisation
from jobs.attempts import checkpoints, outputs, timelines, traces
from jobs.attempts.spool_points import COLUMN_STEP, points_from_line
from jobs.lifecycle.transitions import move_job
from jobs.models import Attempt, AttemptNode, Event, Job, Run, RunOutput, SpoolOffset, StepTimeline
from jobs.states.jobs import JobState

READ_BYTES = 1024 * 1024  # of one file in one transaction: some 5,000 lines
TEXT_LIMIT = 2000  # of a note
NUL = b"\\u0000"


class Overtaken(Exception):
    """Another reader has moved an offset meanwhile."""


@dataclass
class Piece:
    """New whole lines of one spool file, and what they say."""

    file: str
    start: int
    end: int
    points: list[series.Point] = field(default_factory=list)
    bad: list[str] = field(default_factory=list)  # why each unreadable line was unreadable


@dataclass
class News:
    """What the lines of all files change outside the series."""

    missing: dict[str, dict[str, list[str]]] = field(default_factory=dict)
    phases: dict[str, float] = field(default_factory=dict)
    events: list[Event] = field(default_factory=list)
    step: int | None = None
    first_step_at: float | None = None
    last_step_at: float = 0.0
    readings: dict[str, list[utilisation.Reading]] = field(default_factory=dict)  # device -> its utilisation
    # folder, step, unix time, validation loss
    checkpoints: list[tuple[str, int, float, float | None]] = field(default_factory=list)
    ending: str = ""
    timelines: list[StepTimeline] = field(default_factory=list)
    traces: list[Line] = field(default_factory=list)
    outputs: list[RunOutput] = field(default_factory=list)


def ingest(attempt: Attempt, part: AttemptNode | None = None) -> int:
    """Bring in what the attempt's spool holds by now, at most READ_BYTES of each file; returns the bytes read.
    `attempt` is brought up to date in place; its job and run are not. `part`: of several nodes, this one's spool."""
    is_first = part is None or part.node_id == attempt.node_id
    directory = AttemptDirectory(part.directory if part else attempt.directory)
    offsets = {row.file: row for row in SpoolOffset.objects.filter(attempt=attempt)}
    news, pieces = News(), []
    for path in sorted(directory.spool.glob("*.jsonl")):
        # Rank files differ by their number; every node has a supervisor's and a device file.
        is_shared_name = not is_first and not path.name.startswith("rank")
        name = f"{part.node_id}-{path.name}" if part and is_shared_name else path.name
        start = offsets[name].offset_bytes if name in offsets else 0
        content = read_whole_lines(path, start)
        if content:
            pieces.append(_understand(name, start, content, news))
    if not pieces:
        return 0
    # The row of the attempt is written by the node of rank 0 alone.
    changes = _of_attempt(attempt, directory, news) if is_first else {}
    try:
        with transaction.atomic():
            for piece in pieces:
                _store(attempt, piece, offsets.get(piece.file), news)
            _apply(attempt, news, changes)
            traces.heard(attempt, part.node if part else attempt.node, news.traces)
            if is_first and news.checkpoints:
                checkpoints.record(attempt, directory, news.checkpoints)
    except (Overtaken, IntegrityError):
        return 0
    for name, value in changes.items():
        setattr(attempt, name, value)
    return sum(piece.end - piece.start for piece in pieces)


def read_whole_lines(path: Path, start: int) -> bytes:
    """From `start` up to the last newline; b'' while there is none. A run of READ_BYTES without a newline is
    nobody's line: it is given back whole, to be counted and passed by."""
    try:
        with path.open("rb") as file:
            file.seek(start)
            content = file.read(READ_BYTES)
    except OSError:
        return b""
    whole = content[: content.rfind(b"\n") + 1]
    return content if not whole and len(content) == READ_BYTES else whole


def _understand(name: str, start: int, content: bytes, news: News) -> Piece:
    piece = Piece(name, start, start + len(content))
    for text in content.split(b"\n"):
        if not text:
            continue
        try:
            if NUL in text:
                raise ValueError("a NUL character")  # PostgreSQL stores none
            line = decode(text)
            points = points_from_line(line)
        except ValueError as error:
            piece.bad.append(str(error))
            continue
        piece.points += points
        if line.missing:
            news.missing[line.source] = {metric: list(why) for metric, why in line.missing.items()}
        NEWS_OF[line.k](line, news)
    return piece


def _step_news(line: Line, news: News) -> None:
    if not 0 <= (line.step or 0) <= COLUMN_STEP:  # a point, but no progress of a job
        return
    news.step = max(news.step or 0, line.step or 0)  # a rank may report a step one step late
    if news.first_step_at is None:
        news.first_step_at = line.at
    news.last_step_at = max(news.last_step_at, line.at)


def _phase_news(line: Line, news: News) -> None:
    if line.seconds is not None:
        news.phases[line.text] = line.seconds


def _checkpoint_news(line: Line, news: News) -> None:
    if line.step is None:
        return
    loss = number(line.metrics.get("validation_loss", math.nan))
    news.checkpoints.append((line.text, line.step, line.at, loss if math.isfinite(loss) else None))
    took = f", saved in {line.seconds:.2g} s" if line.seconds is not None else ""
    if "checkpoint_block_s" in line.metrics:
        took += f", for which training waited {number(line.metrics['checkpoint_block_s']):.2g} s"
    news.events.append(
        Event(actor=line.source, kind="checkpoint", text=f"Checkpoint at step {line.step}{took}.")
    )


def _note_news(line: Line, news: News) -> None:
    news.events.append(Event(actor=line.source, kind=f"note.{line.level}", text=line.text[:TEXT_LIMIT]))


def _result_news(line: Line, news: News) -> None:
    news.ending = line.text[:TEXT_LIMIT]


def _output_news(line: Line, news: News) -> None:
    news.outputs += outputs.read(line)


def _no_news(line: Line, news: News) -> None:
    del line, news


def _timeline_news(line: Line, news: News) -> None:
    news.timelines.append(timelines.row_of(line))


def _trace_news(line: Line, news: News) -> None:
    news.traces.append(line)


def _device_news(line: Line, news: News) -> None:
    pct = number(line.metrics.get(utilisation.METRIC, math.nan))
    if math.isfinite(pct):
        news.readings.setdefault(line.source.removeprefix("device:"), []).append((line.at, pct))


NEWS_OF: dict[str, Callable[[Line, News], None]] = {
    "step": _step_news,
    "validation": _no_news,
    "device": _device_news,
    "phase": _phase_news,
    "checkpoint": _checkpoint_news,
    "note": _note_news,
    "result": _result_news,
    "timeline": _timeline_news,
    "trace": _trace_news,
    "output": _output_news,
}


def _store(attempt: Attempt, piece: Piece, row: SpoolOffset | None, news: News) -> None:
    """One file's points, with the offset that says they are here."""
    if row is None:
        row = SpoolOffset.objects.create(attempt=attempt, file=piece.file)
    moved = SpoolOffset.objects.filter(id=row.id, offset_bytes=piece.start).update(
        offset_bytes=piece.end,
        num_batches=F("num_batches") + (1 if piece.points else 0),
        num_bad_lines=F("num_bad_lines") + len(piece.bad),
    )
    if not moved:
        raise Overtaken
    if piece.points:
        series.append(attempt.job.run.id, attempt.number, piece.file, row.num_batches, piece.points)
    if piece.bad and not row.num_bad_lines:
        text = f"{piece.file} holds lines that cannot be read; they are skipped. The first: {piece.bad[0]}."
        news.events.append(Event(actor="ingest", kind="note.warning", text=text[:TEXT_LIMIT]))


def _of_attempt(attempt: Attempt, directory: AttemptDirectory, news: News) -> dict[str, Any]:
    """The attempt's columns that the news change."""
    changes: dict[str, Any] = {}
    if news.phases:
        changes["phases"] = attempt.phases | news.phases
    if news.checkpoints:
        folder, step, at, _ = news.checkpoints[-1]
        changes["checkpoint"] = str(directory.checkpoints.resolve() / Path(folder).name)
        changes["checkpoint_step"] = step
        changes["checkpoint_at"] = datetime.fromtimestamp(at, UTC)
    if news.ending:
        changes["reason"] = news.ending
    return changes


def _apply(attempt: Attempt, news: News, changes: dict[str, Any]) -> None:
    """Attempt before job before run, as everywhere: PostgreSQL never sees two of us wait for each other."""
    if changes:
        Attempt.objects.filter(id=attempt.id).update(**changes)
    if news.step is not None:
        _apply_step(attempt, news.step, news)
    if news.missing:
        run = Run.objects.select_for_update().get(job_id=attempt.job_id)
        run.missing = run.missing | news.missing
        run.save(update_fields=["missing"])
    if news.outputs:
        outputs.keep(attempt, news.outputs)
    if news.readings:
        utilisation.count(attempt, news.readings)
    if news.timelines:
        timelines.keep(attempt, news.timelines)
    for event in news.events:
        event.job_id, event.attempt_number = attempt.job_id, attempt.number
    Event.objects.bulk_create(news.events)


def _apply_step(attempt: Attempt, step: int, news: News) -> None:
    rows = Job.objects.filter(id=attempt.job_id, attempt_number=attempt.number)
    rows.update(step=step, stepped_at=datetime.fromtimestamp(news.last_step_at, UTC))
    job = rows.only("state", "started_at").first()
    if job is None:
        return
    if job.started_at is None:
        rows.update(started_at=datetime.fromtimestamp(news.first_step_at or 0.0, UTC))
    if job.state == JobState.STARTING:
        move_job(attempt.job_id, JobState.RUNNING, actor="ingest", attempt=attempt.number)
