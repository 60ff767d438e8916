"""Retrying a job from a page."""

from __future__ import annotations

import json

import pytest
from django.urls import reverse

from jobs.states.jobs import JobState
from tests.dashboard.conftest import set_state


@pytest.fixture
def failed(make_job):
    return set_state(make_job(), JobState.FAILED, reason="Rank 0 was killed.")


def retry(browser, job, **options):
    return browser.post(reverse("job-retry", args=[job.id]), **options)


def test_a_failed_job_waits_again(owner_browser, failed):
    answer = retry(owner_browser, failed, follow=True)
    failed.refresh_from_db()
    assert failed.state == JobState.QUEUED
    assert "waits in the queue again" in answer.text


def test_a_job_that_succeeded_is_not_retried(owner_browser, failed):
    set_state(failed, JobState.SUCCEEDED)
    answer = retry(owner_browser, failed, headers={"HX-Request": "true"})
    assert answer.status_code == 409
    assert "has succeeded" in json.loads(answer["HX-Trigger"])["notice"]["text"]


@pytest.mark.parametrize("who", ["viewer", "stranger"])
def test_a_user_who_may_not_write_gets_404_and_changes_nothing(request, browser_of, failed, who):
    answer = retry(browser_of(request.getfixturevalue(who)), failed)
    failed.refresh_from_db()
    assert (answer.status_code, failed.state) == (404, JobState.FAILED)
