"""Cancelling and retrying a job in every state."""

from __future__ import annotations

import pytest

from jobs.lifecycle.transitions import move_attempt, move_job
from jobs.models import Job, Lease
from jobs.queue import job_actions
from jobs.scheduler import loop
from jobs.states.jobs import AttemptState, JobState, StateError

pytestmark = pytest.mark.django_db


def to_state(job: Job, state: str) -> Job:
    """Move the job to the state along allowed transitions."""
    path = {
        JobState.QUEUED: [],
        JobState.SCHEDULED: [],
        JobState.STARTING: [JobState.STARTING],
        JobState.RUNNING: [JobState.STARTING, JobState.RUNNING],
        JobState.STOPPING: [JobState.STARTING, JobState.STOPPING],
        JobState.SUCCEEDED: [JobState.STARTING, JobState.SUCCEEDED],
        JobState.FAILED: [JobState.FAILED],
        JobState.CANCELLED: [JobState.CANCELLED],
    }[JobState(state)]
    if state != JobState.QUEUED:
        loop.schedule(job.pool)
    if path and path[0] == JobState.STARTING:
        assert move_attempt(job.attempts.get().id, AttemptState.STARTING, actor="test")
    for step in path:
        assert move_job(job.id, step, actor="test")
    return Job.objects.get(id=job.id)


def test_a_queued_job_is_cancelled_at_once(make_job):
    job = job_actions.cancel(make_job(), actor="tom", reason="A typo in the spec.")
    assert (job.state, job.reason) == (JobState.CANCELLED, "A typo in the spec.")
    assert job.ended_at is not None
    assert [(e.kind, e.actor) for e in job.events.all()] == [("job.queued", "olga"), ("job.cancelled", "tom")]


def test_a_scheduled_job_that_no_agent_has_started_is_cancelled_at_once(make_job):
    job = to_state(make_job(), JobState.SCHEDULED)
    assert job_actions.cancel(job, actor="tom").state == JobState.CANCELLED
    assert job.attempts.get().state == AttemptState.STOPPED
    assert not Lease.objects.filter(is_active=True).exists()


@pytest.mark.parametrize("state", [JobState.STARTING, JobState.RUNNING])
def test_a_running_job_is_stopped(make_job, state):
    job = job_actions.cancel(to_state(make_job(), state), actor="tom", reason="Enough.")
    assert (job.state, job.wanted_state) == (JobState.STOPPING, "cancelled")
    assert job.attempts.get().state == AttemptState.STARTING
    assert Lease.objects.filter(is_active=True).count() == 2
    assert (job.events.last().kind, job.events.last().text) == ("job.stopping", "Enough.")


def test_cancelling_twice_is_one_action(make_job):
    job = job_actions.cancel(to_state(make_job(), JobState.RUNNING), actor="tom")
    events = job.events.count()
    assert job_actions.cancel(job, actor="olga").state == JobState.STOPPING
    assert job.events.count() == events


@pytest.mark.parametrize(
    ("state", "participle"),
    [(JobState.SUCCEEDED, "succeeded"), (JobState.FAILED, "failed"), (JobState.CANCELLED, "been cancelled")],
)
def test_a_job_that_has_ended_cannot_be_cancelled(make_job, state, participle):
    job = to_state(make_job(), state)
    with pytest.raises(StateError, match=f"already {participle}"):
        job_actions.cancel(job, actor="tom")
    assert Job.objects.get(id=job.id).state == state


def test_a_job_that_was_scheduled_meanwhile_is_still_cancelled(make_job):
    stale = make_job()
    to_state(stale, JobState.SCHEDULED)
    assert job_actions.cancel(stale, actor="tom").state == JobState.CANCELLED
    assert not Lease.objects.filter(is_active=True).exists()


@pytest.mark.parametrize("state", [JobState.FAILED, JobState.CANCELLED])
def test_a_failed_or_cancelled_job_waits_again_when_retried(make_job, state):
    job = to_state(make_job(), state)
    Job.objects.update(wanted_state="cancelled")
    again = job_actions.retry(job, actor="tom")
    assert (again.state, again.wanted_state, again.reason, again.ended_at) == (JobState.QUEUED, "", "", None)
    assert again.events.last().text == "Retried by tom."


@pytest.mark.parametrize("state", [JobState.QUEUED, JobState.SCHEDULED, JobState.RUNNING, JobState.SUCCEEDED])
def test_any_other_job_cannot_be_retried(make_job, state):
    job = to_state(make_job(), state)
    with pytest.raises(StateError):
        job_actions.retry(job, actor="tom")
    assert Job.objects.get(id=job.id).state == state
