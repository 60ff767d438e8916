"""Cancelling a job from a page."""

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


def cancel(browser, job, **options):
    return browser.post(reverse("job-cancel", args=[job.id]), **options)


def test_a_waiting_job_is_cancelled_and_the_event_names_who(owner_browser, job, owner):
    answer = cancel(owner_browser, job, follow=True)
    job.refresh_from_db()
    assert job.state == JobState.CANCELLED
    assert job.events.last().actor == owner.username
    assert "is cancelled" in answer.text


def test_a_running_job_is_stopping_until_its_current_step_ends(owner_browser, job):
    set_state(job, JobState.RUNNING, attempt_number=1)
    answer = cancel(owner_browser, job, headers=HTMX)
    job.refresh_from_db()
    assert (answer.status_code, job.state, job.wanted_state) == (204, JobState.STOPPING, "cancelled")
    assert "after the current step" in json.loads(answer["HX-Trigger"])["notice"]["text"]


def test_an_ended_job_cannot_be_cancelled(owner_browser, job):
    set_state(job, JobState.SUCCEEDED)
    answer = cancel(owner_browser, job, headers=HTMX)
    assert answer.status_code == 409
    assert "already succeeded" in json.loads(answer["HX-Trigger"])["notice"]["text"]


def test_a_team_mate_may_cancel(browser_of, team_mate, job):
    cancel(browser_of(team_mate), job)
    job.refresh_from_db()
    assert job.state == JobState.CANCELLED


@pytest.mark.parametrize("who", ["viewer", "stranger"])
def test_a_user_who_may_not_write_gets_404_and_changes_nothing(request, browser_of, job, who):
    answer = cancel(browser_of(request.getfixturevalue(who)), job)
    job.refresh_from_db()
    assert (answer.status_code, job.state) == (404, JobState.QUEUED)


def test_a_get_request_cannot_cancel(owner_browser, job):
    assert owner_browser.get(reverse("job-cancel", args=[job.id])).status_code == 405
