"""Pausing and resuming a job from a page."""

from __future__ import annotations

import json

import pytest
from django.urls import reverse

from jobs.states.jobs import JobState
from tests.dashboard.conftest import set_state

HTMX = {"HX-Request": "true"}


@pytest.fixture
def job(make_job):
    return make_job()


def act(browser, job, action, **options):
    return browser.post(reverse(f"job-{action}", args=[job.id]), **options)


def test_a_waiting_job_is_paused_and_resumed_and_the_events_name_who(
    owner_browser, browser_of, team_mate, job
):
    answer = act(owner_browser, job, "pause", follow=True)
    assert "is paused." in answer.text and "Paused by olga." in answer.text
    answer = act(browser_of(team_mate), job, "resume", follow=True)
    assert "waits in the queue again" in answer.text
    assert [event.actor for event in job.events.order_by("id")] == ["olga", "olga", "tom"]


def test_a_running_job_stops_first(owner_browser, job):
    set_state(job, JobState.RUNNING, attempt_number=1)
    answer = act(owner_browser, job, "pause", headers=HTMX)
    assert "after the current step" in json.loads(answer["HX-Trigger"])["notice"]["text"]
    page = owner_browser.get(reverse("run", args=[job.run.id]))
    assert "Stops after the current step, to be paused." in page.text


@pytest.mark.parametrize(
    ("state", "wanted", "offered"),
    [
        (JobState.QUEUED, "", {"pause", "cancel"}),
        (JobState.RUNNING, "", {"pause", "cancel"}),
        (JobState.STOPPING, "", {"cancel"}),
        (JobState.STOPPING, "paused", {"resume", "cancel"}),
        (JobState.STOPPING, "cancelled", set()),
        (JobState.PAUSED, "", {"resume", "cancel"}),
        (JobState.FAILED, "", {"retry"}),
        (JobState.SUCCEEDED, "", set()),
    ],
)
def test_each_state_shows_the_actions_that_it_allows(owner_browser, job, state, wanted, offered):
    set_state(job, state, wanted_state=wanted)
    page = owner_browser.get(reverse("jobs")).text
    actions = ("cancel", "pause", "resume", "retry")
    assert {action for action in actions if reverse(f"job-{action}", args=[job.id]) in page} == offered


def test_paused_jobs_have_a_filter(owner_browser, job, make_job):
    set_state(job, JobState.PAUSED, reason="Paused by tom.")
    other = make_job(name="another")
    page = owner_browser.get(reverse("jobs"), {"state": "paused"}).text
    assert job.id in page and other.id not in page and "Paused by tom." in page


@pytest.mark.parametrize("action", ["pause", "resume"])
@pytest.mark.parametrize("who", ["viewer", "stranger"])
def test_a_user_who_may_not_write_gets_404_and_changes_nothing(request, browser_of, job, who, action):
    set_state(job, JobState.PAUSED if action == "resume" else JobState.QUEUED)
    before = job.state
    answer = act(browser_of(request.getfixturevalue(who)), job, action)
    job.refresh_from_db()
    assert (answer.status_code, job.state) == (404, before)
