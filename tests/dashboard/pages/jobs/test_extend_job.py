"""Jobs with idle devices: the warning, and extending the time until they stop."""

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


def test_the_run_page_and_the_list_show_when_it_stops(owner_browser, job, stop_at):
    page = " ".join(owner_browser.get(f"/runs/{job.run.id}/").text.split())
    assert f"with a checkpoint, at {stop_at:%Y-%m-%d %H:%M} UTC unless they are used again" in page
    assert "Keep devices" in page
    listing = owner_browser.get("/jobs/").text
    assert f"it stops at {stop_at:%Y-%m-%d %H:%M} UTC" in listing and "Keep devices" in listing


def test_a_team_mate_extends_it_once(browser_of, team_mate, job, stop_at):
    browser = browser_of(team_mate)
    notice = json.loads(extend(browser, job, headers=HTMX)["HX-Trigger"])["notice"]
    assert notice == {"text": f"{job.name} keeps its devices for longer.", "tone": "good"}
    job.refresh_from_db()
    assert job.idle_stop_at - stop_at == timedelta(hours=1)
    page = browser.get(f"/runs/{job.run.id}/").text
    assert "Extended once by tom." in page and "Keep devices" not in page
    assert extend(browser, job, headers=HTMX).status_code == 409


def test_a_user_who_may_not_write_cannot_extend_it(viewer_browser, stranger_browser, job):
    assert "Keep devices" not in viewer_browser.get(f"/runs/{job.run.id}/").text
    for browser in (viewer_browser, stranger_browser):
        assert extend(browser, job).status_code == 404
    job.refresh_from_db()
    assert job.idle_extended_by == ""


def test_a_job_without_a_warning_cannot_be_extended(owner_browser, make_job):
    job = set_state(make_job(), JobState.RUNNING, attempt_number=1)
    assert "Keep devices" not in owner_browser.get(f"/runs/{job.run.id}/").text


def test_the_pools_page_counts_idle_allocated_devices(owner_browser, make_job, pool):
    make_job(devices=2)
    loop.schedule(pool)
    now = timezone.now()
    assert "allocated device" not in owner_browser.get("/pools/").text
    Lease.objects.filter(device="a-0").update(read_at=now, used_at=now - timedelta(minutes=20))
    Lease.objects.filter(device="a-1").update(read_at=now, used_at=now)
    text = owner_browser.get("/pools/").text
    assert "1 allocated device idle" in text and "idle for 20 min" in text
    assert "1 allocated device idle" in owner_browser.get("/queue/").text
