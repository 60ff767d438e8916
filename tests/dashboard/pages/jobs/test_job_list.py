"""Job list: states, progress, reasons, filters in the address."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.urls import reverse
from django.utils import timezone

from jobs.models import Attempt
from jobs.states.jobs import AttemptState, JobState
from tests.dashboard.conftest import set_state

JOBS = "/jobs/"


@pytest.mark.django_db
def test_an_empty_list_offers_the_demo(owner_browser):
    assert "No job yet" in owner_browser.get(JOBS).text


def test_a_waiting_job_shows_its_waiting_reason(owner_browser, make_job):
    set_state(make_job(name="patient"), JobState.QUEUED, waiting_reason="Waits for 2 devices.")
    text = owner_browser.get(JOBS).text
    assert "patient" in text
    assert "Waits for 2 devices." in text


def test_a_running_job_shows_its_remaining_time(owner_browser, make_job, node):
    started = timezone.now() - timedelta(seconds=100)
    job = set_state(
        make_job("budget.steps=200"), JobState.RUNNING, step=101, started_at=started, attempt_number=1,
        stepped_at=timezone.now(),
    )  # fmt: skip
    Attempt.objects.create(job=job, number=1, node=node, state=AttemptState.RUNNING, started_at=started)
    text = owner_browser.get(JOBS).text
    assert "101 / 200 steps" in text
    assert "likely 1 min 39 s left" in text


def test_before_the_second_step_no_remaining_time_is_shown(owner_browser, make_job):
    set_state(make_job(), JobState.RUNNING, step=1, started_at=timezone.now(), attempt_number=1)
    assert "left" not in owner_browser.get(JOBS).text


def test_a_failed_job_shows_its_reason_and_can_be_retried(owner_browser, make_job):
    job = set_state(make_job(), JobState.FAILED, reason="Rank 1 was killed by signal 9.")
    text = owner_browser.get(JOBS).text
    assert "Rank 1 was killed by signal 9." in text
    assert reverse("job-retry", args=[job.id]) in text
    assert reverse("job-cancel", args=[job.id]) not in text


def test_a_viewer_sees_no_buttons(viewer_browser, make_job):
    job = make_job()
    text = viewer_browser.get(JOBS).text
    assert job.name in text
    assert reverse("job-cancel", args=[job.id]) not in text


@pytest.mark.parametrize(
    ("query", "shown"),
    [
        ({"state": "failed"}, {"beta"}),
        ({"state": "active"}, {"gamma"}),
        ({"q": "ALPH"}, {"alpha"}),
        ({"q": "olga"}, {"alpha", "beta", "gamma"}),
        ({"q": "beta", "state": "waiting"}, set()),
        ({"state": "nonsense"}, {"alpha", "beta", "gamma"}),
    ],
)
def test_the_query_filters_the_list(owner_browser, make_job, query, shown):
    make_job(name="alpha")
    set_state(make_job(name="beta"), JobState.FAILED)
    set_state(make_job(name="gamma"), JobState.RUNNING)
    rows = owner_browser.get(JOBS, query).context["rows"]
    assert {job.name for job, _ in rows} == shown


def test_a_refresh_is_the_same_partial_as_the_page(owner_browser, make_job):
    make_job()
    page, part = owner_browser.get(JOBS), owner_browser.get(JOBS, headers={"HX-Request": "true"})
    assert "<html" not in part.text
    assert (
        part.text.strip().splitlines()[-3:]
        == page.text[: page.text.index("</main>")].strip().splitlines()[-3:]
    )


def test_a_stranger_sees_no_job(stranger_browser, make_job):
    make_job(name="secret")
    answer = stranger_browser.get(JOBS)
    assert "secret" not in answer.text
    assert dict(answer.context["filters"])["all"] == 0


def test_a_name_is_text_and_never_markup(owner_browser, make_job):
    make_job(name="<script>alert(1)</script>")
    assert "<script>alert" not in owner_browser.get(JOBS).text
