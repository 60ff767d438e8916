"""Profiles on request: a person's wish, passed on to the ranks by their node's agent, and the files that come back."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

from django.db import transaction
from django.db.models import Max, Q
from django.utils import timezone

from engine.directory import TRACE_BYTES, TRACE_STEPS, AttemptDirectory, TraceRequest
from engine.telemetry.wire import SpoolLine
from jobs.models import Attempt, AttemptNode, Event, Job, Node, Trace, TraceFile, TracePiece
from jobs.states.jobs import ATTEMPT_LIVE, JobState, StateError

PIECE_BYTES = 512 * 1024
KEPT = 24  # newest files of a job: at most 0.75 GiB, and mostly some MiB
NAME_LIMIT = 100
TRACED = (JobState.STARTING, JobState.RUNNING)


@transaction.atomic
def ask(job: Job, *, num_steps: int, ranks: Iterable[int], actor: str) -> Trace:
    """Profile the next steps of the job's attempt by these ranks. Raises StateError with the sentence that a page
    shows: nothing runs, one wish is still open, or there are no such ranks or steps."""
    current = Job.objects.select_for_update().get(id=job.id)
    chosen = sorted(set(ranks))
    attempt = Attempt.objects.filter(
        job=current, number=current.attempt_number, state__in=ATTEMPT_LIVE
    ).first()
    if current.state not in TRACED or attempt is None:
        raise StateError(f"Job {job.id} is {current.state}; only steps of a running job can be traced.")
    if not 1 <= num_steps <= TRACE_STEPS:
        raise StateError(f"Between 1 and {TRACE_STEPS} steps can be traced at once, not {num_steps}.")
    if not chosen or chosen[0] < 0 or chosen[-1] >= current.num_devices:
        raise StateError(f"Job {job.id} has ranks 0 to {current.num_devices - 1}; choose some of them.")
    _close_stale(current)
    if Trace.objects.filter(attempt__job=current, ended_at=None).exists():
        raise StateError(f"A trace of job {job.id} is under way; ask again when it is done.")
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
    text = f"Tracing the next {what} of {which}, which will take longer than others."
    Event.objects.create(
        job=current, attempt_number=attempt.number, actor=actor, kind="trace.asked", text=text
    )
    return made


def pass_on(live: dict[int, AttemptDirectory]) -> None:
    """What an agent does for its live attempts, by id: the open wish lies in the attempt's directory. One query."""
    if not live:
        return
    for trace in Trace.objects.filter(attempt__in=live, ended_at=None):
        directory = live[trace.attempt_id]
        request = TraceRequest(trace.number, trace.num_steps, tuple(trace.ranks))
        if _number_in(directory) < trace.number:
            directory.ask_for_trace(request)


def heard(attempt: Attempt, node: Node, lines: Iterable[SpoolLine]) -> None:
    """Ranks have written their files, or could not. In the transaction that reads their lines."""
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
                "reason": "" if line.text else "The rank could not write it; the events say why.",
            },
        )
        _end_if_answered(trace)


def bring(node: Node) -> int:
    """What an agent does with files of its node: their bytes into the database. Returns how many were brought."""
    waiting = TraceFile.objects.filter(node=node, size_bytes=None, reason="").select_related("trace__attempt")
    return sum(_bring(file) for file in waiting)


def files_of(job: Job) -> list[TraceFile]:
    """Newest first."""
    rows = TraceFile.objects.filter(trace__attempt__job=job).select_related("trace__attempt")
    return list(rows.order_by("-trace__id", "rank"))


def open_of(job: Job) -> Trace | None:
    """The wish that is under way."""
    live = Trace.objects.filter(attempt__job=job, ended_at=None, attempt__state__in=ATTEMPT_LIVE)
    return live.select_related("attempt").first()


def content_of(file: TraceFile) -> Iterator[bytes]:
    """Its bytes, piece by piece: never whole in memory."""
    for number in TracePiece.objects.filter(file=file).values_list("id", flat=True):
        yield bytes(TracePiece.objects.values_list("content", flat=True).get(id=number))


def _bring(file: TraceFile) -> bool:
    path = _folder(file) / Path(file.name).name
    try:
        size = path.stat().st_size
        if size > TRACE_BYTES:
            raise OSError(f"it has {size:,} bytes, more than are kept")
        content = path.read_bytes()
    except OSError as error:
        reason = f"Its file could not be read: {error.strerror or error}."[:200]
        TraceFile.objects.filter(id=file.id).update(reason=reason)
        return False
    starts = range(0, len(content), PIECE_BYTES)
    pieces = [
        TracePiece(file=file, seq=seq, content=content[at : at + PIECE_BYTES])
        for seq, at in enumerate(starts)
    ]
    with transaction.atomic():
        if not TraceFile.objects.filter(id=file.id, size_bytes=None).update(size_bytes=len(content)):
            return False
        TracePiece.objects.bulk_create(pieces)
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


def _folder(file: TraceFile) -> Path:
    """trace/ of the attempt's directory on the file's node."""
    attempt = file.trace.attempt
    part = AttemptNode.objects.filter(attempt=attempt, node_id=file.node_id).first()
    return AttemptDirectory(part.directory if part and part.directory else attempt.directory).trace


def _number_in(directory: AttemptDirectory) -> int:
    found = directory.read_trace_request()
    return found.number if found else 0


def _end_if_answered(trace: Trace) -> None:
    answered = set(TraceFile.objects.filter(trace=trace).values_list("rank", flat=True))
    if answered >= set(trace.ranks):
        Trace.objects.filter(id=trace.id, ended_at=None).update(ended_at=timezone.now())


def _close_stale(job: Job) -> None:
    """Wishes of attempts that have ended get no answer any more."""
    over = Trace.objects.filter(attempt__job=job, ended_at=None).exclude(attempt__state__in=ATTEMPT_LIVE)
    over.update(ended_at=timezone.now(), reason="The attempt ended first.")


def _drop_old(job: Job) -> None:
    kept = (
        TraceFile.objects.filter(trace__attempt__job=job).order_by("-id").values_list("id", flat=True)[:KEPT]
    )
    TraceFile.objects.filter(trace__attempt__job=job).exclude(Q(id__in=list(kept))).delete()
