"""Next state of a job whose attempt has ended."""

from __future__ import annotations

from django.conf import settings
from django.db.models import Max

from jobs.lifecycle.resumption import resume_note
from jobs.models import Attempt, Event, Job
from jobs.states.jobs import INFRASTRUCTURE_CAUSES, AttemptState, Cause, JobState

# After so many attempts in a row whose supervisor died or could not start, without a new checkpoint, the job fails
# and needs a person. Cause.DEVICE_HELD is not counted: the processes that hold the device are being stopped.
NO_PROGRESS_LIMIT = 5
NO_PROGRESS_CAUSES = (Cause.SUPERVISOR, Cause.LAUNCH)


def decide_outcome(job: Job, to: str, reason: str, cause: str, stop_reason: str) -> tuple[str, str]:
    """Return the job's next state and its reason. `to`, `reason` and `cause` are those of the ended attempt."""
    if to == AttemptState.SUCCEEDED:
        return JobState.SUCCEEDED, reason
    if job.wanted_state == JobState.CANCELLED:
        return JobState.CANCELLED, _stop_reason(job) or reason
    if is_halt(job, to):
        return JobState.PAUSED, f"Reached step {job.halt_at_step}, its halt step."
    state, message = _unrequested_outcome(job, to, reason, cause, stop_reason)
    if state == JobState.QUEUED and job.wanted_state == JobState.PAUSED:
        return JobState.PAUSED, f"{_stop_reason(job)} It {resume_note(job)}"
    return state, message


def is_halt(job: Job, to: str) -> bool:
    """Whether the attempt stopped because the job reached its halt step, and no other request is pending."""
    return to == AttemptState.STOPPED and job.has_halted and not job.wanted_state


def _stop_reason(job: Job) -> str:
    """Return the reason given by the person who asked the job to stop."""
    event = Event.objects.filter(job=job, kind=f"job.{JobState.STOPPING}").order_by("-id").first()
    return event.text if event else ""


def _unrequested_outcome(job: Job, to: str, reason: str, cause: str, stop_reason: str) -> tuple[str, str]:
    """Return next state and reason of a job without a pending request."""
    if cause == Cause.TIME_LIMIT:
        return JobState.SUCCEEDED, reason  # the time budget is used up; the trained model is kept
    if to in (AttemptState.STOPPED, AttemptState.LOST):
        return JobState.QUEUED, f"{stop_reason or f'Interrupted: {reason}'}; {resume_note(job)}"
    if cause in INFRASTRUCTURE_CAUSES:
        if cause in NO_PROGRESS_CAUSES and _makes_no_progress(job):
            return JobState.FAILED, f"{reason} {NO_PROGRESS_LIMIT} attempts in a row ended like this."
        return JobState.QUEUED, f"Retried without using up a retry ({reason}); {resume_note(job)}"
    failures = _count_failures(job)
    if failures <= settings.RETRY_LIMIT:
        tries = f"Retry {failures} of {settings.RETRY_LIMIT}"
        return JobState.QUEUED, f"{tries} after a failure ({reason}); {resume_note(job)}"
    return JobState.FAILED, reason


def _count_failures(job: Job) -> int:
    """Count the failures that the job caused since it was submitted, or last retried by a person."""
    ends = Event.objects.filter(job=job, kind__in=(f"job.{JobState.FAILED}", f"job.{JobState.CANCELLED}"))
    earlier = ends.aggregate(last=Max("attempt_number"))["last"] or 0
    failed = Attempt.objects.filter(job=job, state=AttemptState.FAILED, number__gt=earlier)
    return failed.exclude(cause__in=INFRASTRUCTURE_CAUSES).count()


def _makes_no_progress(job: Job) -> bool:
    newest = Attempt.objects.filter(job=job).order_by("-number").values_list("cause", "checkpoint_step")
    last = list(newest[:NO_PROGRESS_LIMIT])
    return len(last) == NO_PROGRESS_LIMIT and all(
        cause in NO_PROGRESS_CAUSES and step is None for cause, step in last
    )
