"""What an attempt's end means for its job: at whose cost it is tried again, and when it is over."""

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
    """The job after one more attempt that ended so."""
    attempt = assign(job)
    Attempt.objects.filter(id=attempt.id).update(state=AttemptState.RUNNING, **fields)
    Job.objects.filter(id=job.id).update(state=JobState.RUNNING)
    end_attempt(attempt, state, "it ended", cause)
    return Job.objects.get(id=job.id)


@pytest.mark.parametrize("cause", [Cause.DEVICE_HELD, Cause.SUPERVISOR, Cause.LAUNCH])
def test_what_is_not_the_jobs_fault_costs_no_retry(make_job, cause):
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


def test_a_retry_by_a_person_opens_the_budget_again(make_job, settings):
    settings.RETRY_LIMIT = 1
    job = make_job()
    ended(job, AttemptState.FAILED, Cause.WORKLOAD)
    assert ended(job, AttemptState.FAILED, Cause.WORKLOAD).state == JobState.FAILED
    job_actions.retry(job, actor="olga")
    assert ended(job, AttemptState.FAILED, Cause.WORKLOAD).state == JobState.QUEUED


def test_a_held_device_is_tried_again_as_long_as_it_takes(make_job):
    job = make_job()
    for _ in range(NO_PROGRESS_LIMIT + 1):
        assert ended(job, AttemptState.FAILED, Cause.DEVICE_HELD).state == JobState.QUEUED


def test_supervisors_that_die_in_vain_again_and_again_need_a_person(make_job):
    job = make_job()
    for _ in range(NO_PROGRESS_LIMIT - 1):
        assert ended(job, AttemptState.FAILED, Cause.SUPERVISOR).state == JobState.QUEUED
    assert ended(job, AttemptState.FAILED, Cause.SUPERVISOR).state == JobState.FAILED
    assert f"{NO_PROGRESS_LIMIT} attempts in a row" in Job.objects.get().reason


def test_a_checkpoint_between_them_means_they_were_not_in_vain(make_job):
    job = make_job()
    for number in range(2 * NO_PROGRESS_LIMIT):
        step = 10 * number if number % 3 == 0 else None
        assert (
            ended(job, AttemptState.FAILED, Cause.SUPERVISOR, checkpoint_step=step).state == JobState.QUEUED
        )


def test_a_job_whose_time_is_up_has_ended_and_does_not_wait_again(make_job):
    job = ended(make_job(), AttemptState.STOPPED, Cause.TIME_LIMIT)
    assert (job.state, job.reason) == (JobState.SUCCEEDED, "it ended")
    assert Event.objects.filter(job=job, kind="job.succeeded").count() == 1


def test_a_cancelled_job_is_not_tried_again_whatever_ended_it(make_job):
    job = make_job()
    Job.objects.update(wanted_state="cancelled")
    assert ended(job, AttemptState.FAILED, Cause.DEVICE_HELD).state == JobState.CANCELLED
