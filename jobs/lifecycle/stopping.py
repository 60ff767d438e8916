"""Cancelling and pausing of jobs."""

from __future__ import annotations

from django.db import transaction

from jobs.lifecycle.transitions import move_attempt, move_job
from jobs.models import Attempt, Event, Job
from jobs.states.jobs import ATTEMPT_LIVE, AttemptState, Cause, JobState

INACTIVE = (JobState.QUEUED, JobState.PAUSED)  # no attempt of the job is live


def stop(job: Job, to: JobState, actor: str, reason: str) -> bool:
    """Move the job to `to` (cancelled or paused): now if no rank runs, otherwise after it stops at a step boundary.

    One conditional UPDATE from the state that `job` was read with. Returns False if the state has changed since.
    """
    if job.state in INACTIVE:
        number = job.attempt_number or None
        return move_job(job.id, to, actor=actor, reason=reason, attempt=number, only_from=(job.state,))
    if job.state == JobState.SCHEDULED and _withdraw(job, to, actor, reason):
        return True
    if job.state == JobState.STOPPING:
        return set_target_state(job, to, actor, reason)
    return move_job(
        job.id, JobState.STOPPING, actor=actor, reason=reason, attempt=job.attempt_number, wanted_state=to
    )


@transaction.atomic
def set_target_state(job: Job, to: str, actor: str, reason: str) -> bool:
    """Change the target state of a job that is stopping: cancelled, paused, or '' to return to the queue."""
    stopping = Job.objects.filter(id=job.id, state=JobState.STOPPING, wanted_state=job.wanted_state)
    if to == job.wanted_state or not stopping.update(wanted_state=to):
        return False
    if not to:
        attempts = Attempt.objects.filter(job=job, number=job.attempt_number, state__in=ATTEMPT_LIVE)
        attempts.filter(yield_reason="").update(yield_reason=reason.rstrip(".")[:300])
    number = job.attempt_number
    Event.objects.create(job=job, attempt_number=number, actor=actor, kind="job.stopping", text=reason)
    return True


@transaction.atomic
def _withdraw(job: Job, to: JobState, actor: str, reason: str) -> bool:
    """Stop an attempt that no agent has started. The first process that moves it out of 'assigned' wins."""
    attempt = Attempt.objects.filter(job=job, number=job.attempt_number, state__in=ATTEMPT_LIVE).first()
    if attempt is None:
        return False
    only_from = (AttemptState.ASSIGNED,)
    if not move_attempt(
        attempt.id, AttemptState.STOPPED, actor=actor, reason=reason, only_from=only_from, cause=Cause.STOPPED
    ):
        return False
    return move_job(job.id, to, actor=actor, reason=reason, attempt=job.attempt_number)
