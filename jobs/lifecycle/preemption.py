"""Asks an attempt to give its devices back: it stops at a step border with a checkpoint, and its job waits again.

It costs no retry. The agent that follows the attempt sees the wish and passes it on; see jobs.agent.loop.
"""

from __future__ import annotations

from django.db import transaction

from jobs.lifecycle.transitions import move_job
from jobs.models import Attempt, Event, Job, Priority
from jobs.states.jobs import ATTEMPT_LIVE, JobState

YIELD_NOTE = "it stops at a checkpoint and waits again"


@transaction.atomic
def request_yield(attempt_id: int, *, actor: str, reason: str) -> bool:
    """False: the attempt has ended, or has been asked already, by whomever. `reason` is a sentence without a stop."""
    wish = Attempt.objects.filter(id=attempt_id, state__in=ATTEMPT_LIVE, yield_reason="")
    if not wish.update(yield_reason=reason[:300]):
        return False
    attempt = Attempt.objects.only("job_id", "number").get(id=attempt_id)
    said = f"{reason}; {YIELD_NOTE}."
    if move_job(attempt.job_id, JobState.STOPPING, actor=actor, reason=said, attempt=attempt.number):
        return True
    transaction.set_rollback(True)
    return False


@transaction.atomic
def preempt(attempt_id: int, by: str, actor: str) -> bool:
    """In favour of the job `by`; both jobs' events tell it."""
    winner = Job.objects.only("id", "priority").get(id=by)
    priority = Priority(winner.priority).label
    if not request_yield(attempt_id, actor=actor, reason=f"Preempted by job {by} (priority {priority})"):
        return False
    Attempt.objects.filter(id=attempt_id).update(preempted_by=winner)
    loser = Attempt.objects.values_list("job_id", flat=True).get(id=attempt_id)
    text = f"Job {loser} was asked to give its devices to this one."
    Event.objects.create(job_id=by, actor=actor, kind="note.info", text=text)
    return True
