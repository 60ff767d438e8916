"""How a job is taken out of the queue or off its devices because a person wants it cancelled or paused."""

from __future__ import annotations

from django.db import transaction

from jobs.lifecycle.transitions import move_attempt, move_job
from jobs.models import Attempt, Event, Job
from jobs.states.jobs import ATTEMPT_LIVE, AttemptState, Cause, JobState

INACTIVE = (JobState.QUEUED, JobState.PAUSED)  # nothing of it runs


def stop(job: Job, to: JobState, actor: str, reason: str) -> bool:
    """At once while nothing runs yet, else asked to stop at a step border, after which it is `to`. One conditional
    try from the state just read; False: it has changed meanwhile."""
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
    """It stops already, but shall then be something else: `to`, or '' to wait again."""
    stopping = Job.objects.filter(id=job.id, state=JobState.STOPPING, wanted_state=job.wanted_state)
    if to == job.wanted_state or not stopping.update(wanted_state=to):
        return False
    if not to:
        waits = Attempt.objects.filter(job=job, number=job.attempt_number, state__in=ATTEMPT_LIVE)
        waits.filter(yield_reason="").update(yield_reason=reason.rstrip(".")[:300])
    number = job.attempt_number
    Event.objects.create(job=job, attempt_number=number, actor=actor, kind="job.stopping", text=reason)
    return True


@transaction.atomic
def _withdraw(job: Job, to: JobState, actor: str, reason: str) -> bool:
    """Take back an attempt that no agent has begun; whoever moves it from 'assigned' first wins."""
    attempt = Attempt.objects.filter(job=job, number=job.attempt_number, state__in=ATTEMPT_LIVE).first()
    if attempt is None:
        return False
    only_from = (AttemptState.ASSIGNED,)
    if not move_attempt(
        attempt.id, AttemptState.STOPPED, actor=actor, reason=reason, only_from=only_from, cause=Cause.STOPPED
    ):
        return False
    return move_job(job.id, to, actor=actor, reason=reason, attempt=job.attempt_number)
