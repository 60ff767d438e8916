"""Pausing and resuming a job in every state, and the recorded events."""

from __future__ import annotations

import pytest

from jobs.agent.loop import Agent
from jobs.lifecycle import preemption
from jobs.lifecycle.ending import end_attempt
from jobs.models import Attempt, Event, Job, Lease
from jobs.queue import job_actions
from jobs.scheduler import loop
from jobs.states.jobs import AttemptState, Cause, JobState, StateError
from tests.jobs.fake_supervisor import make_checkpoint, write_spool, write_state
from tests.jobs.placed_jobs import assign, claim, newest_attempt
from tests.jobs.test_concurrent_actions import ROUNDS, job_action, kinds, running
from tests.jobs.test_races import assert_consistent, run_at_once

pytestmark = pytest.mark.django_db


@pytest.fixture
def agent(node, settings) -> Agent:
    settings.NODE_DIR.mkdir()
    return Agent(node, settings.NODE_DIR)


def now(job: Job) -> Job:
    return Job.objects.get(id=job.id)


def events(job: Job) -> list[tuple[str, str, str]]:
    return list(Event.objects.filter(job=job).order_by("id").values_list("kind", "actor", "text"))


def test_a_queued_job_is_paused_and_the_scheduler_skips_it(make_job):
    job = job_actions.pause(make_job(), actor="tom")
    assert (job.state, job.reason, job.position) == (JobState.PAUSED, "Paused by tom.", None)
    assert loop.schedule(job.pool) == 0
    assert events(job)[-1] == ("job.paused", "tom", "Paused by tom.")


def test_a_resumed_job_waits_behind_jobs_submitted_meanwhile(make_job):
    job = job_actions.pause(make_job(), actor="tom")
    other = make_job()
    again = job_actions.resume(job, actor="olga")
    assert (again.state, again.reason, again.wanted_state) == (JobState.QUEUED, "", "")
    assert again.queue_key > other.queue_key
    assert events(job)[-1] == ("job.queued", "olga", "Resumed by olga.")


def test_a_job_that_no_agent_has_started_releases_its_devices_at_once(make_job):
    job = make_job()
    assign(job)
    assert job_actions.pause(job, actor="tom").state == JobState.PAUSED
    assert newest_attempt(job).state == AttemptState.STOPPED
    assert not Lease.objects.filter(is_active=True).exists()


def test_a_running_job_stops_at_a_checkpoint_and_resumes_from_it(agent, make_job, settings):
    settings.RETRY_LIMIT = 0
    job = make_job()
    _, directory = claim(job, settings.NODE_DIR)
    write_state(directory, "running")
    agent.tick()
    asked = job_actions.pause(now(job), actor="tom", reason="Tom needs the devices today.")
    assert (asked.state, asked.wanted_state) == (JobState.STOPPING, JobState.PAUSED)
    agent.tick()
    assert directory.read_control() == "stop"
    write_spool(directory, make_checkpoint(directory, 40))
    write_state(directory, "stopped", "stopped on request")
    agent.tick()
    paused = now(job)
    assert (paused.state, paused.wanted_state, paused.ended_at) == (JobState.PAUSED, "", None)
    assert paused.reason == "Tom needs the devices today. It resumes from step 40."
    assert not Lease.objects.filter(is_active=True).exists()
    job_actions.resume(paused, actor="olga")
    _, again = claim(job, settings.NODE_DIR)
    assert again.read_placement().resume_from == str(directory.checkpoints / "step-00000040")


def test_pausing_twice_is_one_action(make_job):
    job = make_job()
    running(job)
    job_actions.pause(job, actor="tom")
    job_actions.pause(job, actor="olga")
    assert kinds(job).count("job.stopping") == 1
    end_attempt(newest_attempt(job), AttemptState.STOPPED, "stopped on request", Cause.STOPPED)
    assert job_actions.pause(job, actor="olga").state == JobState.PAUSED
    assert kinds(job).count("job.paused") == 1


def test_a_failure_while_stopping_counts_but_the_retry_waits_for_resume(make_job, settings):
    settings.RETRY_LIMIT = 1
    job = make_job()
    for expected in (JobState.PAUSED, JobState.FAILED):
        attempt = running(job)
        job_actions.pause(job, actor="tom")
        end_attempt(Attempt.objects.get(id=attempt.id), AttemptState.FAILED, "CUDA error", Cause.WORKLOAD)
        assert now(job).state == expected
        if expected == JobState.PAUSED:
            job_actions.resume(job, actor="tom")


def test_a_job_that_finishes_while_stopping_has_succeeded(make_job):
    job = make_job()
    attempt = running(job)
    job_actions.pause(job, actor="tom")
    end_attempt(attempt, AttemptState.SUCCEEDED, "Finished all steps.", Cause.DONE)
    assert now(job).state == JobState.SUCCEEDED


def test_resuming_a_stopping_job_queues_it_instead(make_job):
    job = make_job()
    attempt = running(job)
    job_actions.pause(job, actor="tom")
    job_actions.resume(job, actor="olga")
    end_attempt(Attempt.objects.get(id=attempt.id), AttemptState.STOPPED, "stopped on request", Cause.STOPPED)
    again = now(job)
    assert (again.state, again.wanted_state) == (JobState.QUEUED, "")
    assert again.waiting_reason == "Resumed by olga before it had stopped; starts again from step 0."


def test_a_paused_job_can_be_cancelled_and_then_retried(make_job):
    job = job_actions.pause(make_job(), actor="tom")
    assert job_actions.cancel(job, actor="olga").state == JobState.CANCELLED
    assert job_actions.retry(job, actor="olga").state == JobState.QUEUED


def test_cancelling_a_job_that_is_being_paused_cancels_it(make_job):
    job = make_job()
    attempt = running(job)
    job_actions.pause(job, actor="tom")
    job_actions.cancel(job, actor="olga", reason="No use.")
    with pytest.raises(StateError, match="being cancelled"):
        job_actions.pause(job, actor="tom")
    end_attempt(attempt, AttemptState.STOPPED, "stopped on request", Cause.STOPPED)
    assert (now(job).state, now(job).reason) == (JobState.CANCELLED, "No use.")


def test_a_job_that_is_being_preempted_can_be_paused(make_job):
    job = make_job()
    attempt = running(job)
    preemption.request_yield(attempt.id, actor="scheduler", reason="Preempted by job x")
    job_actions.pause(job, actor="tom")
    end_attempt(Attempt.objects.get(id=attempt.id), AttemptState.STOPPED, "stopped on request", Cause.STOPPED)
    assert (now(job).state, now(job).reason) == (
        JobState.PAUSED,
        "Paused by tom. It starts again from step 0.",
    )


def test_a_job_being_paused_is_paused_when_its_node_is_lost(make_job, node, settings):
    job = make_job()
    attempt = running(job)
    job_actions.pause(job, actor="tom")
    loop._reclaim(attempt)
    assert now(job).state == JobState.PAUSED


@pytest.mark.parametrize("action", [job_actions.pause, job_actions.resume])
def test_a_job_that_has_ended_is_neither_paused_nor_resumed(make_job, action):
    job = job_actions.cancel(make_job(), actor="tom")
    with pytest.raises(StateError, match=r"already been cancelled|only a paused job"):
        action(job, actor="tom")


def test_a_queued_job_cannot_be_resumed(make_job):
    with pytest.raises(StateError, match="is queued; only a paused job can be resumed"):
        job_actions.resume(make_job(), actor="tom")


@pytest.mark.django_db(transaction=True)
def test_two_resumes_queue_the_job_once(make_job):
    for _ in range(ROUNDS):
        job = job_actions.pause(make_job(devices=1), actor="olga")
        assert sorted(
            run_at_once(*[job_action(job_actions.resume, job, who) for who in ("olga", "tom")])
        ) == [
            False,
            True,
        ]
        assert kinds(job).count("job.queued") == 2  # submitted, and resumed once
        job_actions.cancel(job, actor="olga")


@pytest.mark.django_db(transaction=True)
def test_a_pause_during_scheduling_leaves_no_device_held(make_job):
    for _ in range(ROUNDS):
        job = make_job(devices=2)
        _, paused = run_at_once(
            lambda job=job: loop.schedule(job.pool), job_action(job_actions.pause, job, "olga")
        )
        assert paused and now(job).state == JobState.PAUSED
        assert not Lease.objects.filter(is_active=True).exists()
        assert_consistent()


@pytest.mark.django_db(transaction=True)
def test_a_concurrent_pause_and_cancel_cancel_the_job(make_job):
    for _ in range(ROUNDS):
        job = make_job(devices=1)
        attempt = running(job)
        _, cancelled = run_at_once(
            job_action(job_actions.pause, job, "olga"), job_action(job_actions.cancel, job, "tom")
        )
        assert cancelled and now(job).wanted_state == JobState.CANCELLED
        end_attempt(attempt, AttemptState.STOPPED, "stopped on request", Cause.STOPPED)
        assert now(job).state == JobState.CANCELLED
        assert_consistent()
