"""A job whose devices stand idle: what its people see of it, and how they put its end off."""

from __future__ import annotations

import json
from datetime import datetime, timedelta

import pytest
from django.urls import reverse
from django.utils import timezone

from jobs.models import Lease
from jobs.scheduler import loop
from jobs.states.jobs import JobState
from tests.dashboard.conftest import set_state

HTMX = {"HX-Request": "true"}


@pytest.fixture
def stop_at() -> datetime:
    return timezone.now() + timedelta(minutes=10)


@pytest.fixture
def job(make_job, stop_at):
    return set_state(make_job(), JobState.RUNNING, attempt_number=1, idle_stop_at=stop_at)


def extend(browser, job, **options):
    return browser.post(reverse("job-extend", args=[job.id]), **options)


def test_the_run_page_and_the_list_say_when_it_is_stopped(owner_browser, job, stop_at):
    page = " ".join(owner_browser.get(f"/runs/{job.run.id}/").text.split())
    assert f"with a checkpoint, at {stop_at:%Y-%m-%d %H:%M} UTC unless they are used again" in page
    assert "Keep devices" in page
    listing = owner_browser.get("/jobs/").text
    assert f"stopped at {stop_at:%Y-%m-%d %H:%M} UTC" in listing and "Keep devices" in listing


def test_a_team_mate_puts_it_off_once(browser_of, team_mate, job, stop_at):
    browser = browser_of(team_mate)
    said = json.loads(extend(browser, job, headers=HTMX)["HX-Trigger"])["said"]
    assert said == {"text": f"{job.name} keeps its devices for longer.", "tone": "good"}
    job.refresh_from_db()
    assert job.idle_stop_at - stop_at == timedelta(hours=1)
    page = browser.get(f"/runs/{job.run.id}/").text
    assert "Put off once already, by tom." in page and "Keep devices" not in page
    assert extend(browser, job, headers=HTMX).status_code == 409


def test_who_may_not_write_cannot_put_it_off(viewer_browser, stranger_browser, job):
    assert "Keep devices" not in viewer_browser.get(f"/runs/{job.run.id}/").text
    for browser in (viewer_browser, stranger_browser):
        assert extend(browser, job).status_code == 404
    job.refresh_from_db()
    assert job.idle_extended_by == ""


def test_a_job_that_was_not_warned_is_not_offered_it(owner_browser, make_job):
    job = set_state(make_job(), JobState.RUNNING, attempt_number=1)
    assert "Keep devices" not in owner_browser.get(f"/runs/{job.run.id}/").text


def test_the_pools_page_counts_what_is_held_but_unused(owner_browser, make_job, pool):
    make_job(devices=2)
    loop.schedule(pool)
    now = timezone.now()
    assert "held but unused" not in owner_browser.get("/pools/").text
    Lease.objects.filter(device="a-0").update(read_at=now, used_at=now - timedelta(minutes=20))
    Lease.objects.filter(device="a-1").update(read_at=now, used_at=now)
    text = owner_browser.get("/pools/").text
    assert "1 device held but unused" in text and "unused for 20 min" in text
    assert "1 device held but unused" in owner_browser.get("/queue/").text
