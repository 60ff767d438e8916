"""History of a run: how each attempt ended, who stopped it, what was lost, and the time before the next one."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.urls import reverse
from django.utils import timezone

from jobs import series
from jobs.lifecycle import preemption
from jobs.lifecycle.ending import end_attempt
from jobs.models import Attempt, Checkpoint, Event, Job, Membership
from jobs.models.people import Role
from jobs.nodes import admin
from jobs.queue import job_actions
from jobs.scheduler import loop
from jobs.series import Point
from jobs.states.jobs import AttemptState, Cause
from tests.jobs.test_concurrent_actions import running


@pytest.fixture(autouse=True)
def lead(team, owner):
    Membership.objects.filter(user=owner).update(role=Role.LEAD)


def history(browser, job: Job) -> str:
    """Return the history section with single spaces."""
    answer = browser.get(reverse("run-part", args=[job.run.id, "history"]))
    assert answer.status_code == 200
    return " ".join(answer.text.split())


def record_steps(attempt: Attempt, first: int, last: int, checkpoint: int | None) -> None:
    """Record the steps of an attempt and its newest checkpoint."""
    points = [Point("loss", "run", step, 1000.0 + step, 2.0) for step in range(first, last + 1)]
    series.append(attempt.job.run.id, attempt.number, "rank0.jsonl", 0, points)
    at = timezone.now() - timedelta(seconds=5) if checkpoint else None
    Attempt.objects.filter(id=attempt.id).update(checkpoint_step=checkpoint, checkpoint_at=at)
    if checkpoint:
        Checkpoint.objects.create(
            run=attempt.job.run,
            attempt=attempt,
            step=checkpoint,
            path=f"attempts/{attempt.number}",
            saved_at=at,
        )


def end(
    attempt: Attempt, to: str = AttemptState.STOPPED, reason: str = "stopped", cause: str = Cause.STOPPED
):
    end_attempt(Attempt.objects.select_related("node", "job__run").get(id=attempt.id), to, reason, cause)


def resume(job: Job, step: int) -> Attempt:
    attempt = running(job)
    Attempt.objects.filter(id=attempt.id).update(
        resumed_from=f"/x/step-{step:08d}", started_at=timezone.now()
    )
    return attempt


@pytest.fixture
def preempted(make_job):
    """A job whose first attempt ran 52 steps, saved step 40, and was preempted by another job."""
    low = make_job("priority=low", name="patient")
    attempt = running(low)
    record_steps(attempt, 1, 52, 40)
    high = make_job("priority=high", name="urgent")
    assert preemption.preempt(attempt.id, by=high.id, actor="scheduler")
    end(attempt)
    return low, high


def test_a_preempted_attempt_shows_the_other_job_the_time_and_the_loss(owner_browser, preempted):
    low, high = preempted
    running(high)
    text = history(owner_browser, low)
    assert "Preempted" in text
    assert f'Preempted by job <a href="{reverse("run", args=[high.run.id])}">urgent</a>' in text
    assert f"Preempted by job {high.id} (priority high); it stops at a checkpoint" in text
    assert "Its devices were free" in text
    assert "12 steps lost: the last checkpoint was at step 40" in text
    assert "Steps 1 to 52 on a" in text


def test_a_resumed_attempt_shows_its_checkpoint(owner_browser, preempted):
    low, high = preempted
    end(running(high), AttemptState.SUCCEEDED, "Finished all steps.", Cause.DONE)
    record_steps(resume(low, 40), 41, 60, None)
    text = history(owner_browser, low)
    assert "Steps 41 to 60 on a; resumed from the checkpoint at step 40." in text
    assert "2 attempts · 12 steps repeated" in text
    assert text.index("Attempt 2") < text.index("Attempt 1"), "newest first"


def test_the_preempting_job_shows_its_victim(owner_browser, preempted):
    low, high = preempted
    running(high)
    text = history(owner_browser, high)
    assert f'which were taken from <a href="{reverse("run", args=[low.run.id])}">patient</a>.' in text


def test_the_name_of_another_teams_job_is_hidden(browser_of, preempted, other_team):
    low, high = preempted
    Job.objects.filter(id=high.id).update(team=other_team)
    high.run.team = other_team
    high.run.save()
    text = history(browser_of(low.owner), low)
    assert "urgent" not in text and "of another team" in text


def test_an_attempt_that_stops_at_a_checkpoint_loses_no_step(owner_browser, make_job):
    job = make_job()
    attempt = running(job)
    record_steps(attempt, 1, 30, 30)
    job_actions.pause(job, actor="tom", reason="Lunch.")
    end(attempt)
    text = history(owner_browser, job)
    assert "Paused" in text and "Lunch. It resumes from step 30." in text
    assert "No step was lost: the checkpoint is from its last step, 30." in text


def test_a_pause_shows_its_duration_and_user(owner_browser, make_job):
    job = make_job()
    attempt = running(job)
    job_actions.pause(job, actor="tom")
    end(attempt)
    job_actions.resume(job, actor="olga")
    paused = job.events.get(kind="job.paused")
    for event in Event.objects.filter(job=job, id__lte=paused.id):
        Event.objects.filter(id=event.id).update(at=event.at - timedelta(hours=3))
    Attempt.objects.update(assigned_at=timezone.now() - timedelta(hours=4))
    running(job)
    text = history(owner_browser, job)
    assert "Before that: paused for 3 h. Paused by tom. It starts again from step 0. Resumed by olga." in text
    assert "Then waited" in text


def test_a_drain_shows_the_node_and_user(owner_browser, make_job, node):
    job = make_job()
    attempt = running(job)
    admin._request_yields(node, "olga")
    end(attempt)
    text = history(owner_browser, job)
    assert "Devices reclaimed" in text and "olga," in text and "Node a is being drained" in text


def test_a_lost_node_is_shown(owner_browser, make_job):
    job = make_job()
    attempt = running(job)
    record_steps(attempt, 1, 25, 20)
    loop._reclaim(Attempt.objects.select_related("node").get(id=attempt.id))
    text = history(owner_browser, job)
    assert "Node lost" in text and "has sent no heartbeat for" in text and "5 steps lost" in text


def test_charts_label_the_starts_of_attempts(owner_browser, preempted):
    low, high = preempted
    end(running(high), AttemptState.SUCCEEDED, "Finished all steps.", Cause.DONE)
    record_steps(resume(low, 40), 41, 60, None)
    names = owner_browser.get(reverse("run", args=[low.run.id])).context["names"]
    assert names["attempts"] == {2: "attempt 2, after a preemption"}
    answer = owner_browser.get(f"/api/v1/runs/{low.run.id}/series?metric=loss").json()
    (line,) = answer["series"]
    assert (line["borders"], line["border_attempts"], line["superseded"]) == ([41], [2], 12)


def test_a_longer_history_takes_the_same_number_of_queries(
    owner_browser, make_job, django_assert_max_num_queries
):
    job, other = make_job(), make_job()
    for number in range(4):
        attempt = running(job)
        record_steps(attempt, 1, 10, 5)
        preemption.preempt(attempt.id, by=other.id, actor="scheduler")
        end(attempt)
        with django_assert_max_num_queries(28):
            history(owner_browser, job)
        assert number < 4
