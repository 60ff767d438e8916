"""State changes of jobs, attempts and their nodes."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

from django.db import transaction
from django.db.models import QuerySet
from django.utils import timezone

from jobs.accounting.charges import book_charges
from jobs.models import Attempt, AttemptNode, Event, Job, Lease
from jobs.states.jobs import ATTEMPT_LIVE, ATTEMPT_MOVES, FINAL, MEMBER_LIVE, MEMBER_MOVES, MOVES, JobState

OUT_OF_QUEUE: dict[str, Any] = {"waiting_for": {}, "position": None, "expected_start_at": None}


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
    """One conditional UPDATE and its event in one transaction. False: somebody else moved it first.

    `attempt` fences: the move happens only while that attempt number is the job's current one.
    `only_from` narrows the states that MOVES allows.
    """

    rows = Job.objects.filter(id=job_id)
    if attempt is not None:
        rows = rows.filter(attempt_number=attempt)
    with transaction.atomic():
        if not _moved(rows, to, MOVES, only_from, _columns(to, reason) | fields):
            return False
        _tell(job_id, fields.get("attempt_number", attempt), actor, f"job.{to}", reason)
    return True


def _columns(to: str, reason: str) -> dict[str, Any]:
    """What changes with the state. Where a job stands in the queue is nobody's news once it has left it."""
    changes: dict[str, Any] = {"waiting_reason": "", **OUT_OF_QUEUE}
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
    """As move_job, for one attempt. A terminal move also releases its leases."""

    if to not in ATTEMPT_LIVE:
        fields = {"ended_at": timezone.now(), "reason": reason} | fields
    with transaction.atomic():
        if not _moved(Attempt.objects.filter(id=attempt_id), to, ATTEMPT_MOVES, only_from, fields):
            return False
        if to not in ATTEMPT_LIVE:
            Lease.objects.filter(attempt_id=attempt_id, is_active=True).update(
                is_active=False, ended_at=timezone.now()
            )
        attempt = Attempt.objects.select_related("job").get(id=attempt_id)
        if to not in ATTEMPT_LIVE:
            book_charges(attempt)
        _tell(attempt.job_id, attempt.number, actor, f"attempt.{to}", reason)
    return True


def move_member(
    member_id: int,
    to: str,
    *,
    actor: str,
    reason: str = "",
    only_from: Collection[str] | None = None,
    **fields: Any,
) -> bool:
    """As move_job, for one node's part of an attempt."""

    if to not in MEMBER_LIVE:
        fields = {"ended_at": timezone.now(), "reason": reason} | fields
    with transaction.atomic():
        if not _moved(AttemptNode.objects.filter(id=member_id), to, MEMBER_MOVES, only_from, fields):
            return False
        member = AttemptNode.objects.select_related("attempt", "node").get(id=member_id)
        said = f"Node {member.node.name}: {reason}" if reason else f"Node {member.node.name}."
        _tell(member.attempt.job_id, member.attempt.number, actor, f"member.{to}", said)
    return True


def _moved(
    rows: QuerySet[Any],
    to: str,
    moves: Mapping[str, Collection[str]],
    only_from: Collection[str] | None,
    changes: Mapping[str, Any],
) -> bool:
    """The one conditional UPDATE of every move."""
    sources = [state for state in moves[to] if only_from is None or state in only_from]
    return bool(rows.filter(state__in=sources).update(state=to, **changes))


def _tell(job_id: str, number: int | None, actor: str, kind: str, text: str) -> None:

    Event.objects.create(job_id=job_id, attempt_number=number, actor=actor, kind=kind, text=text)
