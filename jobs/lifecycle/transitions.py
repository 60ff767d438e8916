"""State changes of jobs, attempts and attempt nodes."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

from django.db import transaction
from django.db.models import QuerySet
from django.utils import timezone

from jobs.accounting.charges import book_charges
from jobs.models import Attempt, AttemptNode, Event, Job, Lease
from jobs.states.jobs import (
    ATTEMPT_LIVE,
    ATTEMPT_MOVES,
    ATTEMPT_NODE_LIVE,
    ATTEMPT_NODE_MOVES,
    FINAL,
    MOVES,
    JobState,
)

CLEARED_QUEUE_COLUMNS: dict[str, Any] = {
    "waiting_for": {},
    "position": None,
    "expected_start_at": None,
    "likely_start_at": None,
    "likely_start_from": {},
}


def move_job(
    job_id: str,
    to: str,
    *,
    actor: str,
    reason: str = "",
    attempt: int | None = None,
    only_from: Collection[str] | None = None,
    **fields: Any,
) -> bool:
    """Move a job by one conditional UPDATE, and record the event in the same transaction.

    Returns False if another process has moved the job first. `attempt` is the fencing token: the job moves only while
    this is its current attempt number. `only_from` narrows the states that MOVES allows. `fields` are further columns.
    """

    rows = Job.objects.filter(id=job_id)
    if attempt is not None:
        rows = rows.filter(attempt_number=attempt)
    with transaction.atomic():
        if not _update_state(rows, to, MOVES, only_from, _state_columns(to, reason) | fields):
            return False
        _record_event(job_id, fields.get("attempt_number", attempt), actor, f"job.{to}", reason)
    return True


def _state_columns(to: str, reason: str) -> dict[str, Any]:
    """Return the columns that change with the state. Clears the queue position when a job leaves the queue."""
    changes: dict[str, Any] = {"waiting_reason": "", **CLEARED_QUEUE_COLUMNS}
    if to == JobState.QUEUED:  # fewer steps may be left than were estimated
        changes |= {"duration_s": None, "duration_from": {}}
    if to not in (JobState.STARTING, JobState.RUNNING):
        changes |= {"idle_stop_at": None}
    if to == JobState.SCHEDULED:
        changes |= {"idle_extended_by": ""}
    if to in FINAL:
        changes |= {"ended_at": timezone.now(), "reason": reason, "is_judged": False}
    elif to == JobState.PAUSED:
        changes |= {"reason": reason, "wanted_state": "", "stopping_since": None}
    elif to == JobState.STOPPING:
        changes |= {"stopping_since": timezone.now()}
    elif to == JobState.QUEUED:
        changes |= {"ended_at": None, "reason": "", "wanted_state": "", "stopping_since": None}
        changes |= {"is_halted": False}
        changes |= {"waiting_reason": reason[:300]}
    return changes


def move_attempt(
    attempt_id: int,
    to: str,
    *,
    actor: str,
    reason: str = "",
    only_from: Collection[str] | None = None,
    **fields: Any,
) -> bool:
    """Move an attempt, as move_job moves a job. A terminal state also releases its leases and charges its team."""

    if to not in ATTEMPT_LIVE:
        fields = {"ended_at": timezone.now(), "reason": reason} | fields
    with transaction.atomic():
        if not _update_state(Attempt.objects.filter(id=attempt_id), to, ATTEMPT_MOVES, only_from, fields):
            return False
        if to not in ATTEMPT_LIVE:
            Lease.objects.filter(attempt_id=attempt_id, is_active=True).update(
                is_active=False, ended_at=timezone.now()
            )
        attempt = Attempt.objects.select_related("job").get(id=attempt_id)
        if to not in ATTEMPT_LIVE:
            book_charges(attempt)
        _record_event(attempt.job_id, attempt.number, actor, f"attempt.{to}", reason)
    return True


def move_attempt_node(
    attempt_node_id: int,
    to: str,
    *,
    actor: str,
    reason: str = "",
    only_from: Collection[str] | None = None,
    **fields: Any,
) -> bool:
    """Move one node of a multi-node attempt, as move_job moves a job."""

    if to not in ATTEMPT_NODE_LIVE:
        fields = {"ended_at": timezone.now(), "reason": reason} | fields
    with transaction.atomic():
        if not _update_state(
            AttemptNode.objects.filter(id=attempt_node_id), to, ATTEMPT_NODE_MOVES, only_from, fields
        ):
            return False
        attempt_node = AttemptNode.objects.select_related("attempt", "node").get(id=attempt_node_id)
        message = f"Node {attempt_node.node.name}: {reason}" if reason else f"Node {attempt_node.node.name}."
        _record_event(
            attempt_node.attempt.job_id, attempt_node.attempt.number, actor, f"member.{to}", message
        )
    return True


def _update_state(
    rows: QuerySet[Any],
    to: str,
    moves: Mapping[str, Collection[str]],
    only_from: Collection[str] | None,
    changes: Mapping[str, Any],
) -> bool:
    """The conditional UPDATE that every move uses."""
    sources = [state for state in moves[to] if only_from is None or state in only_from]
    return bool(rows.filter(state__in=sources).update(state=to, **changes))


def _record_event(job_id: str, number: int | None, actor: str, kind: str, text: str) -> None:
    Event.objects.create(job_id=job_id, attempt_number=number, actor=actor, kind=kind, text=text)
