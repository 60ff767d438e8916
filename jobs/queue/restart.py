"""Decisions to start a job from an earlier step than its newest checkpoint."""

from __future__ import annotations

from django.db import transaction

from jobs.attempts import locations
from jobs.lifecycle.resumption import list_counted, list_usable
from jobs.models import Checkpoint, Event, Job
from jobs.queue import job_actions
from jobs.states.jobs import JobState, StateError

STATES = (JobState.QUEUED, JobState.PAUSED, JobState.FAILED, JobState.CANCELLED)


def list_steps(job: Job) -> list[int]:
    """Return the steps from which the job can be started now, highest first; the last is always 0."""
    rows = locations.list_reachable(list_usable(job.id).select_related("attempt__node"))
    return [*dict.fromkeys(row.step for row in rows), 0]


def describe_loss(job: Job, step: int) -> str:
    """Return what is given up if the job starts from `step`, as a sentence."""
    lost = list_counted(job.id).filter(step__gt=step).select_related("attempt__node").first()
    if lost is None:
        return f"Job {job.id} has no checkpoint above step {step}, so nothing is given up."
    location = locations.locate_checkpoint(lost)
    place = "lost" if not location.holders else f"on node {location.holders[0].name}"
    if location.holders and location.holders[0].away:
        place += f", which {location.holders[0].away}"
    return f"{lost.step - step} steps are given up for good: the checkpoint at step {lost.step} ({place})."


def is_stuck(job: Job) -> bool:
    """Whether a waiting job can continue only by such a decision, as far as is known."""
    codes = ("CHECKPOINT_AWAY", "CHECKPOINT_LOST")
    reason = job.waiting_for
    return reason.get("code") in codes and not reason.get("values", {}).get("is_start")


def restart(job: Job, actor: str, step: int = 0) -> Job:
    """Queue the job to start from `step`; checkpoints above it never count again, also if their node comes back.

    Raises StateError if the job is active or has succeeded, or if no reachable checkpoint is at that step.
    """
    current = Job.objects.get(id=job.id)
    if current.state not in STATES:
        raise StateError(
            f"Job {job.id} is {current.state}; only a job that waits or has ended early can be restarted."
        )
    steps = list_steps(current)
    if step not in steps:
        known = ", ".join(str(one) for one in steps)
        raise StateError(f"Job {job.id} cannot start from step {step}; it can start from step {known}.")
    text = f"Starts from step {step}, by decision of {actor}. {describe_loss(current, step)}"
    with transaction.atomic():
        rows = Job.objects.filter(id=job.id, state=current.state, attempt_number=current.attempt_number)
        if not rows.update(restarts=[*current.restarts, [current.attempt_number, step]]):
            raise StateError(f"Job {job.id} has changed meanwhile. Look again, and repeat.")
        Checkpoint.objects.filter(attempt__job_id=job.id, step__gt=step).update(is_given_up=True)
        Event.objects.create(
            job_id=job.id,
            attempt_number=current.attempt_number or None,
            actor=actor,
            kind="job.restart",
            text=text,
        )
    if current.state == JobState.PAUSED:
        return job_actions.resume(job, actor)
    return Job.objects.get(id=job.id) if current.state == JobState.QUEUED else job_actions.retry(job, actor)
