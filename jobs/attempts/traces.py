"""Profiler traces on request.

A person requests a trace; the node's agent forwards the request to the ranks, and later uploads the files they write.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

from django.conf import settings
from django.db import transaction
from django.db.models import Max, Q
from django.utils import timezone

from engine.directory import TRACE_BYTES, TRACE_STEPS, AttemptDirectory, TraceRequest
from engine.telemetry.wire import SpoolLine
from jobs.models import Attempt, AttemptNode, Event, Job, Node, Trace, TraceChunk, TraceFile
from jobs.nodes import folders
from jobs.states.jobs import ATTEMPT_LIVE, JobState, StateError

CHUNK_BYTES = 512 * 1024
KEEP_FILES = 24  # newest files of a job: at most 0.75 GiB, usually a few MiB
NAME_LIMIT = 100
TRACEABLE = (JobState.STARTING, JobState.RUNNING)


@transaction.atomic
def request_trace(job: Job, *, num_steps: int, ranks: Iterable[int], actor: str) -> Trace:
    """Request a trace of the next `num_steps` steps of the given ranks of the job's current attempt.

    Raises StateError, with the sentence for the user, if nothing runs, a request is still open, or a rank or the number
    of steps is out of range.
    """
    current = Job.objects.select_for_update().get(id=job.id)
    chosen = sorted(set(ranks))
    attempt = Attempt.objects.filter(
        job=current, number=current.attempt_number, state__in=ATTEMPT_LIVE
    ).first()
    if current.state not in TRACEABLE or attempt is None:
        raise StateError(f"Job {job.id} is {current.state}; only a running job can be traced.")
    if not 1 <= num_steps <= TRACE_STEPS:
        raise StateError(f"{num_steps} steps cannot be traced; choose 1 to {TRACE_STEPS}.")
    if not chosen or chosen[0] < 0 or chosen[-1] >= current.num_devices:
        raise StateError(
            f"Job {job.id} has ranks 0 to {current.num_devices - 1}; choose at least one of these."
        )
    _close_stale(current)
    if Trace.objects.filter(attempt__job=current, ended_at=None).exists():
        raise StateError(f"A trace of job {job.id} is in progress; try again when it is done.")
    number = (Trace.objects.filter(attempt__job=current).aggregate(most=Max("number"))["most"] or 0) + 1
    made = Trace.objects.create(
        attempt=attempt,
        number=number,
        num_steps=num_steps,
        ranks=chosen,
        actor=actor,
        asked_at=timezone.now(),
    )
    _drop_old(current)
    which = f"rank {chosen[0]}" if len(chosen) == 1 else f"{len(chosen)} ranks"
    what = "step" if num_steps == 1 else f"{num_steps} steps"
    text = f"Tracing the next {what} of {which}. Traced steps take longer than others."
    Event.objects.create(
        job=current, attempt_number=attempt.number, actor=actor, kind="trace.asked", text=text
    )
    return made


def write_requests(live: dict[int, AttemptDirectory]) -> None:
    """Write the open requests of live attempts (by id) into their directories. Called by the agent. One query."""
    if not live:
        return
    for trace in Trace.objects.filter(attempt__in=live, ended_at=None):
        directory = live[trace.attempt_id]
        request = TraceRequest(trace.number, trace.num_steps, tuple(trace.ranks))
        if _requested_number(directory) < trace.number:
            directory.request_trace(request)


def record_files(attempt: Attempt, node: Node, lines: Iterable[SpoolLine]) -> None:
    """Record the files that ranks wrote, or failed to write. Called in the transaction that ingests their lines."""
    for line in lines:
        trace = Trace.objects.filter(attempt=attempt, number=line.number or 0).first()
        if trace is None:
            continue
        TraceFile.objects.get_or_create(
            trace=trace,
            rank=int(line.source.removeprefix("rank")),
            defaults={
                "node": node,
                "name": line.text[:NAME_LIMIT],
                "first_step": line.step or 0,
                "reason": "" if line.text else "The rank could not write it; see the events of the run.",
            },
        )
        _end_if_complete(trace)


def upload(node: Node, node_dir: Path | None = None) -> int:
    """Upload the trace files of `node` into the database. Called by its agent. Returns how many were uploaded."""
    waiting = TraceFile.objects.filter(node=node, size_bytes=None, reason="").select_related("trace__attempt")
    return sum(_upload(file, node_dir or Path(settings.NODE_DIR)) for file in waiting)


def list_files(job: Job) -> list[TraceFile]:
    """Return the trace files of a job, newest first."""
    rows = TraceFile.objects.filter(trace__attempt__job=job).select_related("trace__attempt")
    return list(rows.order_by("-trace__id", "rank"))


def get_open_trace(job: Job) -> Trace | None:
    """Return the open request of a job, if there is one."""
    live = Trace.objects.filter(attempt__job=job, ended_at=None, attempt__state__in=ATTEMPT_LIVE)
    return live.select_related("attempt").first()


def read_content(file: TraceFile) -> Iterator[bytes]:
    """Yield the bytes of a trace file in chunks, so that the file is never whole in memory."""
    for number in TraceChunk.objects.filter(file=file).values_list("id", flat=True):
        yield bytes(TraceChunk.objects.values_list("content", flat=True).get(id=number))


def _upload(file: TraceFile, node_dir: Path) -> bool:
    path = _folder(file, node_dir) / Path(file.name).name
    try:
        size = path.stat().st_size
        if size > TRACE_BYTES:
            raise OSError(f"it has {size:,} bytes, the limit is {TRACE_BYTES:,}")
        content = path.read_bytes()
    except OSError as error:
        if not (node_dir / folders.ATTEMPTS).is_dir():
            return False  # the whole folder is away now; it is looked at again
        reason = f"The file cannot be read: {error.strerror or error}."[:200]
        TraceFile.objects.filter(id=file.id).update(reason=reason)
        return False
    starts = range(0, len(content), CHUNK_BYTES)
    chunks = [
        TraceChunk(file=file, seq=seq, content=content[at : at + CHUNK_BYTES])
        for seq, at in enumerate(starts)
    ]
    with transaction.atomic():
        if not TraceFile.objects.filter(id=file.id, size_bytes=None).update(size_bytes=len(content)):
            return False
        TraceChunk.objects.bulk_create(chunks)
        attempt = file.trace.attempt
        text = f"Rank {file.rank}'s trace from step {file.first_step} on can be downloaded."
        Event.objects.create(
            job_id=attempt.job_id,
            attempt_number=attempt.number,
            actor=file.trace.actor,
            kind="trace.done",
            text=text,
        )
    return True


def _folder(file: TraceFile, node_dir: Path) -> Path:
    """Return the folder trace/ of the attempt's directory on the file's node."""
    attempt = file.trace.attempt
    attempt_node = AttemptNode.objects.filter(attempt=attempt, node_id=file.node_id).first()
    path = attempt_node.directory if attempt_node and attempt_node.directory else attempt.directory
    return AttemptDirectory(node_dir / path).trace


def _requested_number(directory: AttemptDirectory) -> int:
    found = directory.read_trace_request()
    return found.number if found else 0


def _end_if_complete(trace: Trace) -> None:
    answered = set(TraceFile.objects.filter(trace=trace).values_list("rank", flat=True))
    if answered >= set(trace.ranks):
        Trace.objects.filter(id=trace.id, ended_at=None).update(ended_at=timezone.now())


def _close_stale(job: Job) -> None:
    """Close the open requests of attempts that have ended."""
    stale = Trace.objects.filter(attempt__job=job, ended_at=None).exclude(attempt__state__in=ATTEMPT_LIVE)
    stale.update(ended_at=timezone.now(), reason="The attempt ended first.")


def _drop_old(job: Job) -> None:
    kept = (
        TraceFile.objects.filter(trace__attempt__job=job)
        .order_by("-id")
        .values_list("id", flat=True)[:KEEP_FILES]
    )
    TraceFile.objects.filter(trace__attempt__job=job).exclude(Q(id__in=list(kept))).delete()
