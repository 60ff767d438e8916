"""Likely starts stored with waiting jobs, promises against real starts, and warnings about time limits."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.utils import timezone

from jobs.lifecycle.transitions import move_job
from jobs.models import Attempt, Event, Job, StartPromise
from jobs.planning import durations
from jobs.queue import start_times
from jobs.scheduler import loop, start_promises
from jobs.scheduler.likely_starts import LikelyStarts
from jobs.states.jobs import AttemptState, JobState
from tests.jobs.placed_jobs import assign

pytestmark = pytest.mark.django_db


def occupy(make_job, *, step: int, steps: int = 1000, ago_s: float = 100.0, limit_s: int = 7200) -> Job:
    """Return a job that holds both devices and has done `step` steps since `ago_s`."""
    job = make_job(f"budget.steps={steps}", f"budget.time_limit_s={limit_s}", name="holder")
    attempt = assign(job)
    began = timezone.now() - timedelta(seconds=ago_s)
    Attempt.objects.filter(id=attempt.id).update(
        state=AttemptState.RUNNING, started_at=began, assigned_at=began
    )
    Job.objects.filter(id=job.id).update(
        state=JobState.RUNNING, step=step, started_at=began, stepped_at=timezone.now(), duration_s=None,
        duration_from=durations.UNKNOWN.to_json(),
    )  # fmt: skip
    return Job.objects.get(id=job.id)


def waiting_job(make_job, *changes: str) -> Job:
    job = make_job(*changes, name="waits")
    loop.schedule(job.pool)
    LikelyStarts().refresh(job.pool)
    return Job.objects.get(id=job.id)


def test_the_pace_of_a_running_job_gives_the_likely_start_of_the_next(make_job):
    occupy(make_job, step=101)
    times = start_times.get_start_times(waiting_job(make_job))
    assert times.likely is not None and times.latest is not None
    assert (times.likely - timezone.now()).total_seconds() == pytest.approx(899, abs=5)
    assert (times.latest - timezone.now()).total_seconds() == pytest.approx(7160, abs=5)


def test_without_a_pace_it_says_so(make_job):
    occupy(make_job, step=1)
    times = start_times.get_start_times(waiting_job(make_job))
    assert times.likely is None
    assert times.why_not.startswith("No pace yet: 1 of the 1 jobs before it")


def test_jobs_page_and_queue_read_the_same_end(make_job):
    job = occupy(make_job, step=101)
    now = timezone.now()
    attempt = Attempt.objects.select_related("job").get(job=job)
    one = start_times.get_end_times(attempt, now)
    assert start_times.get_live_end_times([job], now)[job.id] == one
    assert one.left_s(now) == pytest.approx(899, abs=2)
    assert one.likely < one.latest


def test_a_resumed_job_has_the_pace_of_its_current_attempt(make_job):
    job = occupy(make_job, step=600)
    Attempt.objects.filter(job=job).update(
        number=2, clock={"first_step": 500, "step": 600, "at": 0, "seconds": {}}
    )
    Job.objects.filter(id=job.id).update(attempt_number=2)
    attempt = Attempt.objects.select_related("job").get(job=job)
    left = durations.left_of_attempt(attempt.job, attempt, timezone.now())
    assert (left.code, left.seconds) == ("pace", pytest.approx(400 * 100 / 99, abs=3))


def test_a_promise_is_kept_until_the_job_starts_and_compared(make_job):
    occupy(make_job, step=101)
    job = waiting_job(make_job)
    promise = StartPromise.objects.get(job=job)
    assert promise.likely_at == start_times.get_start_times(job).likely
    assert start_promises.settle(timezone.now()) == 0
    LikelyStarts().refresh(job.pool)
    assert StartPromise.objects.count() == 1, "the next one follows after an hour"
    StartPromise.objects.update(promised_at=timezone.now() - timedelta(hours=1), likely_at=timezone.now())
    LikelyStarts().refresh(job.pool)
    assert StartPromise.objects.count() == 2
    real = Attempt.objects.create(job=job, number=1, node=job.pool.nodes.first())
    Job.objects.filter(id=job.id).update(state=JobState.SCHEDULED)
    assert start_promises.settle(timezone.now()) == 2
    assert set(StartPromise.objects.values_list("started_at", flat=True)) == {real.assigned_at}
    assert sum(one.n for one in start_promises.summarise()) == 2
    hour = next(one for one in start_promises.summarise() if one.n and one.title != "Waits under 5 minutes")
    assert hour.median_s == pytest.approx(0, abs=5)
    assert (hour.num_broken, hour.num_latest) == (0, 1)


def test_a_promise_to_a_cancelled_job_is_void(make_job):
    occupy(make_job, step=101)
    job = waiting_job(make_job)
    move_job(job.id, JobState.CANCELLED, actor="olga", reason="")
    start_promises.settle(timezone.now())
    assert StartPromise.objects.get(job=job).is_void
    assert start_promises.summarise() == []


def finish(make_job, step_s: float, steps: int = 100) -> Job:
    job = make_job(f"budget.steps={steps}", name="ended")
    now = timezone.now()
    attempt = Attempt.objects.create(job=job, number=1, node=job.pool.nodes.first())
    Attempt.objects.filter(id=attempt.id).update(assigned_at=now - timedelta(seconds=step_s * steps + 10))
    Job.objects.filter(id=job.id).update(
        state=JobState.SUCCEEDED, attempt_number=1, step=steps, ended_at=now,
        started_at=now - timedelta(seconds=step_s * steps),
    )  # fmt: skip
    return job


def test_a_job_that_needs_more_than_its_limit_is_warned_about_at_submit(make_job):
    finish(make_job, step_s=2.0)
    job = make_job("budget.steps=3000", "budget.time_limit_s=3600")
    assert (job.duration_from["code"], job.duration_s) == ("similar", pytest.approx(6010, abs=1))
    warning = start_times.check_job_limit(job, None)
    assert warning is not None
    assert warning.proposed_limit_s > 6010 and warning.proposed_steps * 2 + 10 < 3600
    assert "Raise the limit to 2 h" in warning.sentence
    assert Event.objects.filter(job=job, kind="note.warning", text=warning.sentence).exists()
    spec_fits = make_job("budget.steps=1000", "budget.time_limit_s=3600")
    assert start_times.check_job_limit(spec_fits, None) is None


def test_a_running_job_that_will_meet_its_limit_is_warned_about(make_job):
    job = occupy(make_job, step=11, limit_s=3600)
    attempt = Attempt.objects.select_related("job").get(job=job)
    warning = start_times.check_job_limit(job, attempt)
    assert warning is not None and warning.likely_s == pytest.approx(100 + 989 * 10, rel=0.01)
    assert start_times.get_end_times(attempt).meets_limit


def test_more_waiting_jobs_take_the_same_number_of_queries(make_job, django_assert_num_queries):
    from django.db import connection
    from django.test.utils import CaptureQueriesContext

    occupy(make_job, step=101)
    counts = []
    for _ in range(2):
        for _ in range(3):
            job = make_job()
        loop.schedule(job.pool)
        with CaptureQueriesContext(connection) as queries:
            LikelyStarts().refresh(job.pool)
        counts.append(len(queries))
    assert counts[0] == counts[1]
