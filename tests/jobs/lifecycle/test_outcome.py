"""Outcome for a job when its attempt ends: retries, their cost, and final states."""

from __future__ import annotations

import pytest

from jobs.lifecycle.ending import end_attempt
from jobs.lifecycle.outcome import NO_PROGRESS_LIMIT
from jobs.models import Attempt, Event, Job
from jobs.queue import job_actions
from jobs.states.jobs import AttemptState, Cause, JobState
from tests.jobs.placed_jobs import assign

pytestmark = pytest.mark.django_db


def ended(job: Job, state: str, cause: str, **fields: object) -> Job:
    """Return the job after one more attempt with this end."""
    attempt = assign(job)
    Attempt.objects.filter(id=attempt.id).update(state=AttemptState.RUNNING, **fields)
    Job.objects.filter(id=job.id).update(state=JobState.RUNNING)
    end_attempt(attempt, state, "it ended", cause)
    return Job.objects.get(id=job.id)


@pytest.mark.parametrize("cause", [Cause.DEVICE_HELD, Cause.SUPERVISOR, Cause.LAUNCH])
def test_failures_not_caused_by_the_job_cost_no_retry(make_job, cause):
    job = make_job()
    assert ended(job, AttemptState.FAILED, cause).state == JobState.QUEUED
    assert "Retried without using up a retry" in Job.objects.get().waiting_reason
    assert Attempt.objects.get().cause == cause


def test_the_retry_budget_counts_only_the_workloads_failures(make_job, settings):
    settings.RETRY_LIMIT = 1
    job = make_job()
    ended(job, AttemptState.FAILED, Cause.DEVICE_HELD)
    ended(job, AttemptState.STOPPED, Cause.AGENT_SILENT)
    assert ended(job, AttemptState.FAILED, Cause.WORKLOAD).state == JobState.QUEUED
    ended(job, AttemptState.FAILED, Cause.SUPERVISOR)
    assert ended(job, AttemptState.FAILED, Cause.WORKLOAD).state == JobState.FAILED


def test_a_retry_by_a_person_resets_the_retry_budget(make_job, settings):
    settings.RETRY_LIMIT = 1
    job = make_job()
    ended(job, AttemptState.FAILED, Cause.WORKLOAD)
    assert ended(job, AttemptState.FAILED, Cause.WORKLOAD).state == JobState.FAILED
    job_actions.retry(job, actor="olga")
    assert ended(job, AttemptState.FAILED, Cause.WORKLOAD).state == JobState.QUEUED


def test_a_held_device_is_retried_without_limit(make_job):
    job = make_job()
    for _ in range(NO_PROGRESS_LIMIT + 1):
        assert ended(job, AttemptState.FAILED, Cause.DEVICE_HELD).state == JobState.QUEUED


def test_repeated_supervisor_deaths_without_progress_fail_the_job(make_job):
    job = make_job()
    for _ in range(NO_PROGRESS_LIMIT - 1):
        assert ended(job, AttemptState.FAILED, Cause.SUPERVISOR).state == JobState.QUEUED
    assert ended(job, AttemptState.FAILED, Cause.SUPERVISOR).state == JobState.FAILED
    assert f"{NO_PROGRESS_LIMIT} attempts in a row" in Job.objects.get().reason


def test_a_checkpoint_in_between_counts_as_progress(make_job):
    job = make_job()
    for number in range(2 * NO_PROGRESS_LIMIT):
        step = 10 * number if number % 3 == 0 else None
        assert (
            ended(job, AttemptState.FAILED, Cause.SUPERVISOR, checkpoint_step=step).state == JobState.QUEUED
        )


def test_a_job_at_its_time_limit_ends_and_does_not_return_to_the_queue(make_job):
    job = ended(make_job(), AttemptState.STOPPED, Cause.TIME_LIMIT)
    assert (job.state, job.reason) == (JobState.SUCCEEDED, "it ended")
    assert Event.objects.filter(job=job, kind="job.succeeded").count() == 1


def test_a_cancelled_job_is_not_retried_whatever_ended_it(make_job):
    job = make_job()
    Job.objects.update(wanted_state="cancelled")
    assert ended(job, AttemptState.FAILED, Cause.DEVICE_HELD).state == JobState.CANCELLED
