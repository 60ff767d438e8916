"""Checkpoints from which a job may continue."""

from __future__ import annotations

from django.db.models import Q, QuerySet

from jobs.models import Checkpoint, Job

COUNTED = Q(is_given_up=False)  # jobs.queue.restart
USABLE = COUNTED & Q(gone_at=None, damage="")
NEWEST_FIRST = ("-step", "-attempt__number")


def list_counted(job_id: str) -> QuerySet[Checkpoint]:
    """Return all checkpoints of the job that count, newest first, with those that are lost or damaged."""
    return Checkpoint.objects.filter(COUNTED, attempt__job_id=job_id).order_by(*NEWEST_FIRST)


def list_usable(job_id: str) -> QuerySet[Checkpoint]:
    """Return the checkpoints from which the job may continue, newest first."""
    return list_counted(job_id).filter(USABLE)


def is_given_up(job: Job, number: int, step: int) -> bool:
    """Whether people have decided against a checkpoint of attempt `number`, also one that is found only now."""
    return any(number <= last and step > limit for last, limit in job.restarts)


def newest_step(job_id: str) -> int | None:
    """Return the step from which the job continues; None if it has no usable checkpoint."""
    return list_usable(job_id).values_list("step", flat=True).first()


def resume_note(job: Job) -> str:
    """Return from which step the job continues, as the end of a sentence. The next attempt keeps what it says."""
    step = newest_step(job.id)
    if step is not None:
        return f"resumes from step {step}."
    if list_counted(job.id).exists():
        return "waits for a person, because its checkpoints are lost."
    return "starts again from step 0."
