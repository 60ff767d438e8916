"""History of attempts: outcomes, lost steps, requests and waits."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.utils import timezone

from jobs import series
from jobs.attempts.history import AttemptRecord, get_attempt_history
from jobs.lifecycle import preemption
from jobs.lifecycle.ending import end_attempt
from jobs.models import Attempt, Event, Job, Membership, Run
from jobs.models.people import Role
from jobs.queue import job_actions
from jobs.series import Point
from jobs.states.jobs import AttemptState, Cause
from tests.jobs.test_concurrent_actions import running

pytestmark = pytest.mark.django_db


def history(job: Job, visible=None) -> list[AttemptRecord]:
    job = Job.objects.get(id=job.id)
    return get_attempt_history(job.run, job, Run.objects.all() if visible is None else visible)


def train(attempt: Attempt, first: int, last: int, checkpoint: int | None) -> None:
    points = [Point("loss", "run", step, 1000.0 + step, 2.0) for step in range(first, last + 1)]
    series.append(attempt.job.run.id, attempt.number, "rank0.jsonl", 0, points)
    Attempt.objects.filter(id=attempt.id).update(checkpoint_step=checkpoint)


def stop(attempt: Attempt, to: str = AttemptState.STOPPED, cause: str = Cause.STOPPED) -> None:
    end_attempt(Attempt.objects.select_related("node", "job__run").get(id=attempt.id), to, "it ended", cause)


@pytest.mark.parametrize(
    ("to", "cause", "outcome"),
    [
        (AttemptState.SUCCEEDED, Cause.DONE, "succeeded"),
        (AttemptState.FAILED, Cause.WORKLOAD, "failed"),
        (AttemptState.LOST, Cause.AGENT_SILENT, "lost"),
        (AttemptState.STOPPED, Cause.TIME_LIMIT, "late"),
        (AttemptState.STOPPED, Cause.STOPPED, "interrupted"),
    ],
)
def test_an_outcome_follows_from_state_and_cause(make_job, to: str, cause: str, outcome: str):
    job = make_job()
    attempt = running(job)
    assert [record.outcome for record in history(job)] == ["live"]
    stop(attempt, to, cause)
    assert history(job)[0].outcome == outcome


def test_a_preempted_attempt_lost_the_steps_after_its_checkpoint(make_job, owner):
    Membership.objects.filter(user=owner).update(role=Role.LEAD)
    low = make_job("priority=low")
    attempt = running(low)
    train(attempt, 1, 52, 40)
    high = make_job("priority=high")
    preemption.preempt(attempt.id, by=high.id, actor="scheduler")
    stop(attempt)
    running(high)
    [record] = history(low)
    assert (record.outcome, record.first_step, record.last_step, record.lost_steps) == (
        "preempted",
        1,
        52,
        12,
    )
    assert record.preempted_by.run == high.run and record.stop_request.actor == "scheduler"
    assert history(low, visible=Run.objects.none())[0].preempted_by.run is None
    [winner] = history(high)
    assert [other.id for other in winner.preempted] == [low.id] and winner.lost_steps is None


def test_the_next_attempt_decides_what_was_lost(make_job):
    job = make_job()
    first = running(job)
    train(first, 1, 30, 20)
    job_actions.pause(job, actor="tom")
    stop(first)
    job_actions.resume(Job.objects.get(id=job.id), actor="olga")
    second = running(job)
    Attempt.objects.filter(id=second.id).update(resumed_from="/x/step-00000010", started_at=timezone.now())
    newest, oldest = history(job)
    assert (newest.resumed_step, newest.first_step) == (10, 11)
    assert (oldest.outcome, oldest.lost_steps) == ("paused", 20)


def test_a_pause_before_an_attempt_has_its_length_and_both_events(make_job):
    job = make_job()
    attempt = running(job)
    job_actions.pause(job, actor="tom")
    stop(attempt)
    job_actions.resume(Job.objects.get(id=job.id), actor="olga")
    paused = job.events.get(kind="job.paused")
    for event in Event.objects.filter(job=job, id__lte=paused.id):
        Event.objects.filter(id=event.id).update(at=event.at - timedelta(hours=3))
    Attempt.objects.update(assigned_at=timezone.now() - timedelta(hours=4))
    running(job)
    record = history(job)[0]
    assert record.paused_s == pytest.approx(3 * 3600, rel=0.01)
    assert record.paused.text.startswith("Paused by tom") and "olga" in record.resumed.text
    assert record.waited_s is not None


def test_a_finished_attempt_lost_nothing(make_job):
    job = make_job()
    attempt = running(job)
    train(attempt, 1, 30, 20)
    stop(attempt, AttemptState.SUCCEEDED, Cause.DONE)
    [record] = history(job)
    assert record.lost_steps == 0 and record.held_s is not None
