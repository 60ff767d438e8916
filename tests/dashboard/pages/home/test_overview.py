"""Overview: my jobs and runs, the devices, and what needs attention."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from dashboard.access import Scope
from dashboard.pages.home.alerts import list_alerts
from jobs.models import Device, Job, Node, RunHealth
from jobs.states.jobs import JobState
from jobs.tracking import deletion, external_runs
from tests.dashboard.conftest import set_state
from tests.dashboard.page_text import collapse

pytestmark = pytest.mark.django_db
LONG_AGO = timedelta(days=2)


def titles(user) -> list[tuple[str, str]]:
    return [(alert.title, alert.subject) for alert in list_alerts(Scope(user))]


def test_the_page_shows_own_jobs_runs_and_devices(owner_browser, make_job, team, owner):
    make_job(name="waits")
    set_state(make_job(name="runs"), JobState.RUNNING, started_at=timezone.now())
    external_runs.create(team=team, owner=owner, name="logged", origin="test")
    text = collapse(owner_browser.get("/").text)
    for shown in ("waits", "runs", "logged", "1 running · 1 waiting", "Needs attention", "0<span"):
        assert shown in text, shown
    assert owner_browser.get("/", headers={"HX-Request": "true"}).text.strip().startswith("<div id=")


def test_a_person_without_runs_sees_those_of_the_team(browser_of, team_mate, make_job, stranger_browser):
    make_job(name="of-olga")
    text = collapse(browser_of(team_mate).get("/").text)
    assert "Newest runs of my teams" in text and "of-olga" in text
    assert "of-olga" not in stranger_browser.get("/").text


def test_each_kind_of_oddity_is_listed_once_and_only_to_its_team(make_job, team, owner, stranger, node):
    set_state(make_job(name="broken"), JobState.FAILED, ended_at=timezone.now(), reason="Out of memory.")
    set_state(make_job(name="old"), JobState.FAILED, ended_at=timezone.now() - LONG_AGO)
    set_state(
        make_job(name="blocked"), JobState.QUEUED, waiting_for={"code": "NO_NODE"}, waiting_reason="None."
    )
    set_state(make_job(name="ahead"), JobState.QUEUED, waiting_for={"code": "AHEAD"})
    set_state(make_job(name="idle"), JobState.RUNNING, idle_stop_at=timezone.now())
    sick = set_state(make_job(name="sick"), JobState.RUNNING)
    RunHealth.objects.create(
        run=sick.run, version=1, at=timezone.now(), is_final=False, name="diverged", severity="bad",
        body={"sentence": "The loss rises."},
    )  # fmt: skip
    logged = external_runs.create(team=team, owner=owner, name="script", origin="test")
    external_runs.set_state(logged, "failed", actor="olga")
    Node.objects.filter(id=node.id).update(heartbeat_at=timezone.now() - LONG_AGO)
    Device.objects.filter(node=node, index=0).update(health="suspect")
    found = titles(owner)
    assert {
        ("Failed", "broken"), ("Cannot start", "blocked"), ("Idle allocation", "idle"), ("Diverged", "sick"),
        ("Failed", "script"), ("Node unreachable", "a"),
    } <= set(found)  # fmt: skip
    assert len(found) == len(set(found)) == 7
    assert {title for title, _ in titles(stranger)} == {"Node unreachable", "Device suspect"}
    tones = [alert.tone for alert in list_alerts(Scope(owner))]
    assert tones == sorted(tones)  # bad before warn


def test_what_is_archived_or_in_the_bin_is_no_alert(make_job, owner):
    job = set_state(make_job(name="broken"), JobState.FAILED, ended_at=timezone.now())
    assert titles(owner)
    deletion.delete_runs(type(job.run).objects.filter(job=job), actor="olga")
    assert titles(owner) == []


def test_the_counts_of_the_bar_are_those_of_the_teams(owner_browser, stranger_browser, make_job):
    make_job()
    set_state(make_job(), JobState.RUNNING)
    set_state(make_job(), JobState.FAILED, ended_at=timezone.now())
    assert owner_browser.get("/counts/").json() == {"running": 1, "waiting": 1, "alerts": 1}
    assert stranger_browser.get("/counts/").json() == {"running": 0, "waiting": 0, "alerts": 0}


def test_more_rows_take_the_same_number_of_queries(owner_browser, make_job, make_node):
    def add(number):
        make_job(name=f"w{number}")
        set_state(make_job(name=f"r{number}"), JobState.RUNNING, started_at=timezone.now())
        set_state(make_job(name=f"f{number}"), JobState.FAILED, ended_at=timezone.now())
        make_node(f"n{number}", heartbeat_at=timezone.now() - LONG_AGO)

    def count():
        with CaptureQueriesContext(
            connection,
        ) as found:
            assert owner_browser.get("/").status_code == 200
        return len(found)

    add(0)
    owner_browser.get("/")
    few = count()
    for number in range(1, 4):
        add(number)
    assert count() == few
    assert Job.objects.count() == 12
