"""Preemption by a job of higher priority: choice, cost and events."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.utils import timezone

from jobs.agent.loop import Agent
from jobs.lifecycle import preemption
from jobs.models import Attempt, Job, Membership
from jobs.models.people import Role
from jobs.queue import job_actions
from jobs.scheduler import loop
from jobs.states.jobs import AttemptState, JobState
from tests.jobs.fake_supervisor import make_checkpoint, write_spool, write_state
from tests.jobs.placed_jobs import claim, newest_attempt

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def lead(team, owner):
    Membership.objects.update(role=Role.LEAD)


@pytest.fixture
def agent(node, settings) -> Agent:
    settings.NODE_DIR.mkdir()
    return Agent(node, settings.NODE_DIR)


@pytest.fixture
def low(agent, make_job, settings):
    """A job of low priority that has run on all devices for ten minutes, and its directory."""
    job = make_job("priority=low", devices=2)
    _, directory = claim(job, settings.NODE_DIR)
    Attempt.objects.update(started_at=timezone.now() - timedelta(minutes=10))
    write_state(directory, "running")
    agent.tick()
    return job, directory


def now(job: Job) -> Job:
    return Job.objects.get(id=job.id)


def test_the_lower_job_stops_at_a_checkpoint_returns_to_the_queue_and_resumes(agent, low, make_job, settings):
    job, directory = low
    high = make_job("priority=high", devices=2)
    assert loop.schedule(high.pool) == 0
    assert now(job).state == JobState.STOPPING
    agent.tick()
    assert directory.read_control() == "stop"
    write_spool(directory, make_checkpoint(directory, 40))
    write_state(directory, "stopped", "stopped on request")
    agent.tick()
    waiting = now(job)
    reason = f"Preempted by job {high.id} (priority high)"
    assert waiting.state == JobState.QUEUED
    assert waiting.waiting_reason == f"{reason}; resumes from step 40."
    assert newest_attempt(job).reason == f"{reason}."
    assert loop.schedule(high.pool) == 1
    assert (now(high).state, now(job).state) == (JobState.SCHEDULED, JobState.QUEUED)
    job_actions.cancel(now(high), actor="olga")
    _, again = claim(job, settings.NODE_DIR)
    assert again.read_placement().resume_from == str(directory.checkpoints / "step-00000040")


def test_both_jobs_record_the_events(agent, low, make_job):
    job, directory = low
    high = make_job("priority=high", devices=2)
    loop.schedule(high.pool)
    agent.tick()
    write_state(directory, "stopped", "stopped on request")
    agent.tick()
    events = [(e.kind, e.actor, e.text) for e in job.events.order_by("id")][-3:]
    reason = f"Preempted by job {high.id} (priority high)"
    assert events == [
        ("job.stopping", "scheduler", f"{reason}; {preemption.YIELD_NOTE}."),
        ("attempt.stopped", "agent:a", f"{reason}."),
        ("job.queued", "agent:a", f"{reason}; starts again from step 0."),
    ]
    assert high.events.filter(kind="note.info", text__contains=job.id).exists()


def test_it_costs_no_retry(agent, low, make_job, settings):
    settings.RETRY_LIMIT = 0
    job, directory = low
    loop.schedule(make_job("priority=high", devices=2).pool)
    write_state(directory, "stopped", "stopped on request")
    agent.tick()
    assert now(job).state == JobState.QUEUED


def test_an_attempt_is_asked_to_yield_only_once(low, make_job):
    job, _ = low
    high = make_job("priority=high", devices=1)
    for _ in range(3):
        loop.schedule(high.pool)
    assert job.events.filter(kind="job.stopping").count() == 1
    assert not preemption.request_yield(newest_attempt(job).id, actor="tom", reason="Drained")


@pytest.mark.parametrize("change", ["preemptible=false", "priority=high"])
def test_some_jobs_are_never_preempted(agent, make_job, settings, change):
    job = make_job(change, devices=2)
    claim(job, settings.NODE_DIR)
    Attempt.objects.update(started_at=timezone.now() - timedelta(minutes=10))
    loop.schedule(make_job("priority=high", devices=2).pool)
    assert now(job).state == JobState.STARTING


def test_a_job_that_has_just_started_is_not_preempted(low, make_job):
    job, _ = low
    Attempt.objects.update(started_at=timezone.now() - timedelta(seconds=10))
    loop.schedule(make_job("priority=high", devices=2).pool)
    assert now(job).state != JobState.STOPPING


def test_a_person_may_cancel_a_job_that_is_being_preempted(agent, low, make_job):
    job, directory = low
    loop.schedule(make_job("priority=high", devices=2).pool)
    job_actions.cancel(now(job), actor="tom", reason="Not worth it.")
    write_state(directory, "stopped", "stopped on request")
    agent.tick()
    assert (now(job).state, now(job).reason) == (JobState.CANCELLED, "Not worth it.")
    assert newest_attempt(job).state == AttemptState.STOPPED


def test_an_attempt_that_ended_meanwhile_is_not_asked(low):
    job, _ = low
    attempt = newest_attempt(job)
    Attempt.objects.update(state=AttemptState.SUCCEEDED)
    assert not preemption.request_yield(attempt.id, actor="scheduler", reason="Preempted")
    assert newest_attempt(job).yield_reason == ""
