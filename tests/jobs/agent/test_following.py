"""Mirroring of a supervisor's reports into the state of its job."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.utils import timezone

from jobs.models import Job, Lease
from jobs.queue import job_actions
from jobs.states.jobs import AttemptState, JobState
from tests.jobs.fake_supervisor import make_checkpoint, step_line, write_spool, write_state
from tests.jobs.placed_jobs import assign, newest_attempt, states

pytestmark = pytest.mark.django_db


def test_running_and_success_are_mirrored_with_the_last_lines(agent, claimed):
    job, directory = claimed
    write_state(directory, "running")
    agent.tick()
    assert states(job) == (JobState.STARTING, AttemptState.RUNNING)
    write_spool(directory, step_line(1))
    agent.tick()
    assert states(job) == (JobState.RUNNING, AttemptState.RUNNING)
    write_spool(directory, step_line(2))
    write_state(directory, "succeeded", "every rank finished")
    agent.tick()
    assert states(job) == (JobState.SUCCEEDED, AttemptState.SUCCEEDED)
    job.refresh_from_db()
    assert (job.step, job.reason) == (2, "every rank finished")
    assert job.ended_at is not None
    assert not Lease.objects.filter(is_active=True).exists()


def test_the_time_in_the_queue_is_a_phase(agent, started, make_job):
    job = make_job()
    job.events.update(at=timezone.now() - timedelta(seconds=30))
    assign(job)
    agent.tick()
    write_state(started[0], "running")
    agent.tick()
    assert 30 <= newest_attempt(job).phases["queued"] < 60


def test_a_failure_carries_its_reason_and_the_stderr_tail_of_the_rank(agent, claimed):
    job, directory = claimed
    write_state(directory, "failed", "rank 1 was killed by SIGKILL", stderr_tail=("Traceback", "boom"))
    agent.tick()
    assert states(job) == (JobState.FAILED, AttemptState.FAILED)
    assert Job.objects.get().reason == newest_attempt(job).reason == "rank 1 was killed by SIGKILL"
    assert newest_attempt(job).stderr_tail == "Traceback\nboom"


def test_a_failure_is_tried_again_only_as_often_as_allowed(agent, started, make_job, settings):
    settings.RETRY_LIMIT = 1
    job = make_job()
    for number, expected in ((1, JobState.QUEUED), (2, JobState.FAILED)):
        assign(job)
        agent.tick()
        write_state(started[-1], "failed", "out of memory")
        agent.tick()
        assert (newest_attempt(job).number, Job.objects.get().state) == (number, expected)


def test_a_cancelled_job_is_stopped_at_a_step_boundary_and_ends_cancelled(agent, claimed):
    job, directory = claimed
    write_state(directory, "running")
    job_actions.cancel(job, actor="tom", reason="Enough.")
    agent.tick()
    assert directory.read_control() == "stop"
    write_state(directory, "stopped", "stopped on request")
    agent.tick()
    assert states(job) == (JobState.CANCELLED, AttemptState.STOPPED)
    assert Job.objects.get().reason == "Enough."


def test_a_stop_without_a_request_returns_the_job_to_the_queue(agent, claimed):
    job, directory = claimed
    write_spool(directory, make_checkpoint(directory, 20))
    write_state(directory, "stopped", "the agent went silent")
    agent.tick()
    job.refresh_from_db()
    assert job.state == JobState.QUEUED
    assert job.waiting_reason == "Interrupted: the agent went silent; resumes from step 20."


def test_one_attempt_that_cannot_be_followed_does_not_keep_the_agent_from_the_others(
    agent, started, make_job
):
    broken, healthy = make_job(devices=1), make_job(devices=1)
    assign(broken), assign(healthy)
    agent.tick()
    (started[0].path / "state.json").write_text("{")
    write_state(started[1], "succeeded", "done")
    agent.tick()
    assert states(healthy)[0] == JobState.SUCCEEDED
    assert states(broken)[0] == JobState.STARTING
