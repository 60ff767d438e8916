"""The end of an attempt and what follows for its job."""

from __future__ import annotations

from typing import Any

from django.db import transaction

from jobs import series
from jobs.lifecycle.device_failures import blame
from jobs.lifecycle.outcome import halts, outcome
from jobs.lifecycle.transitions import move_attempt, move_job
from jobs.models import Attempt, Job
from jobs.states.jobs import AttemptState, Cause


def end(
    attempt: Attempt, to: str, reason: str, cause: str, stderr_tail: str = "", why_stopping: str = ""
) -> None:
    """The attempt's terminal state, and what becomes of its job, in one transaction."""
    actor = f"agent:{attempt.node.name}"
    why_stopping = attempt.yield_reason or why_stopping
    if to == AttemptState.SUCCEEDED:
        reason = attempt.reason or reason  # the rank's own words: all steps done, or the time limit reached
    elif to == AttemptState.STOPPED and why_stopping and cause != Cause.TIME_LIMIT:
        reason = f"{why_stopping}."
    with transaction.atomic():
        if not move_attempt(attempt.id, to, actor=actor, reason=reason, cause=cause, stderr_tail=stderr_tail):
            return
        if to == AttemptState.FAILED:
            blame(attempt, reason, actor)
        job = Job.objects.select_for_update().get(id=attempt.job_id)
        job_to, job_reason = outcome(job, to, reason, cause, why_stopping)
        fields: dict[str, Any] = {"is_halted": True} if halts(job, to) else {}
        move_job(job.id, job_to, actor=actor, reason=job_reason, attempt=attempt.number, **fields)
    series.close(
        attempt.job.run.id, attempt.number
    )  # tidies up; what a crash leaves unfolded is read all the same
