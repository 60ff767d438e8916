"""The end of an attempt, and its consequence for the job."""

from __future__ import annotations

from typing import Any

from django.db import transaction

from jobs import series
from jobs.lifecycle.device_failures import record_failure
from jobs.lifecycle.outcome import decide_outcome, is_halt
from jobs.lifecycle.transitions import move_attempt, move_job
from jobs.models import Attempt, Job
from jobs.states.jobs import AttemptState, Cause


def end_attempt(
    attempt: Attempt, to: str, reason: str, cause: str, stderr_tail: str = "", stop_reason: str = ""
) -> None:
    """Move the attempt to the terminal state `to`, and its job to the next state, in one transaction.

    `stop_reason`: why the agent stopped the attempt on its own account; '' otherwise.
    """
    actor = f"agent:{attempt.node.name}"
    stop_reason = attempt.yield_reason or stop_reason
    if to == AttemptState.SUCCEEDED:
        # As reported by the rank: all steps done, or the time limit reached
        reason = attempt.reason or reason
    elif to == AttemptState.STOPPED and stop_reason and cause != Cause.TIME_LIMIT:
        reason = f"{stop_reason}."
    with transaction.atomic():
        if not move_attempt(attempt.id, to, actor=actor, reason=reason, cause=cause, stderr_tail=stderr_tail):
            return
        if to == AttemptState.FAILED:
            record_failure(attempt, reason, actor)
        job = Job.objects.select_for_update().get(id=attempt.job_id)
        job_to, job_reason = decide_outcome(job, to, reason, cause, stop_reason)
        fields: dict[str, Any] = {"is_halted": True} if is_halt(job, to) else {}
        move_job(job.id, job_to, actor=actor, reason=job_reason, attempt=attempt.number, **fields)
    # Only tidies up: readers also find what a crash leaves unfolded.
    series.close(attempt.job.run.id, attempt.number)
