"""Preemption: an attempt stops with a checkpoint and its job returns to the queue.

The attempt stops at the next step boundary. It costs no retry. The agent that follows the attempt reads the request
and forwards it (jobs.agent.loop).
"""

from __future__ import annotations

from django.db import transaction

from jobs.lifecycle.transitions import move_job
from jobs.models import Attempt, Event, Job, Priority
from jobs.states.jobs import ATTEMPT_LIVE, JobState

YIELD_NOTE = "it stops at a checkpoint and returns to the queue"


@transaction.atomic
def request_yield(attempt_id: int, *, actor: str, reason: str) -> bool:
    """Ask an attempt to give up its devices. `reason` is a sentence without its full stop.

    Returns False if the attempt has ended or has been asked before.
    """
    attempts = Attempt.objects.filter(id=attempt_id, state__in=ATTEMPT_LIVE, yield_reason="")
    if not attempts.update(yield_reason=reason[:300]):
        return False
    attempt = Attempt.objects.only("job_id", "number").get(id=attempt_id)
    message = f"{reason}; {YIELD_NOTE}."
    if move_job(attempt.job_id, JobState.STOPPING, actor=actor, reason=message, attempt=attempt.number):
        return True
    transaction.set_rollback(True)
    return False


@transaction.atomic
def preempt(attempt_id: int, by: str, actor: str) -> bool:
    """Preempt an attempt in favour of the job `by`. Records an event in both jobs."""
    winner = Job.objects.only("id", "priority").get(id=by)
    priority = Priority(winner.priority).label
    if not request_yield(attempt_id, actor=actor, reason=f"Preempted by job {by} (priority {priority})"):
        return False
    Attempt.objects.filter(id=attempt_id).update(preempted_by=winner)
    loser = Attempt.objects.values_list("job_id", flat=True).get(id=attempt_id)
    text = f"Job {loser} was asked to give up its devices for this job."
    Event.objects.create(job_id=by, actor=actor, kind="note.info", text=text)
    return True
