"""What a supervisor reports becomes the state of its job."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.utils import timezone

from jobs.models import Job, Lease
from jobs.queue import job_actions
from jobs.states.jobs import AttemptState, JobState
from tests.jobs.fake_supervisor import checkpoint, report, say, step
from tests.jobs.placed_jobs import assign, attempt_of, states

pytestmark = pytest.mark.django_db


def test_running_and_success_are_mirrored_with_the_last_lines(agent, taken):
    job, directory = taken
    report(directory, "running")
    agent.tick()
    assert states(job) == (JobState.STARTING, AttemptState.RUNNING)
    say(directory, step(1))
    agent.tick()
    assert states(job) == (JobState.RUNNING, AttemptState.RUNNING)
    say(directory, step(2))
    report(directory, "succeeded", "every rank finished")
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
    report(started[0], "running")
    agent.tick()
    assert 30 <= attempt_of(job).phases["queued"] < 60


def test_a_failure_carries_its_reason_and_the_last_words_of_the_rank(agent, taken):
    job, directory = taken
    report(directory, "failed", "rank 1 was killed by SIGKILL", stderr_tail=("Traceback", "boom"))
    agent.tick()
    assert states(job) == (JobState.FAILED, AttemptState.FAILED)
    assert Job.objects.get().reason == attempt_of(job).reason == "rank 1 was killed by SIGKILL"
    assert attempt_of(job).stderr_tail == "Traceback\nboom"


def test_a_failure_is_tried_again_only_as_often_as_allowed(agent, started, make_job, settings):
    settings.RETRY_LIMIT = 1
    job = make_job()
    for number, expected in ((1, JobState.QUEUED), (2, JobState.FAILED)):
        assign(job)
        agent.tick()
        report(started[-1], "failed", "out of memory")
        agent.tick()
        assert (attempt_of(job).number, Job.objects.get().state) == (number, expected)


def test_a_cancelled_job_is_stopped_at_a_step_border_and_ends_cancelled(agent, taken):
    job, directory = taken
    report(directory, "running")
    job_actions.cancel(job, actor="tom", reason="Enough.")
    agent.tick()
    assert directory.read_control() == "stop"
    report(directory, "stopped", "stopped on request")
    agent.tick()
    assert states(job) == (JobState.CANCELLED, AttemptState.STOPPED)
    assert Job.objects.get().reason == "Enough."


def test_a_stop_that_nobody_asked_for_puts_the_job_back(agent, taken):
    job, directory = taken
    say(directory, checkpoint(directory, 20))
    report(directory, "stopped", "the agent went silent")
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
    report(started[1], "succeeded", "done")
    agent.tick()
    assert states(healthy)[0] == JobState.SUCCEEDED
    assert states(broken)[0] == JobState.STARTING
