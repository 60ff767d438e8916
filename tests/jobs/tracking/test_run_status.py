"""Status of a run without a job."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from jobs.models import Run
from jobs.states.jobs import JobState
from jobs.tracking.run_status import SILENT_AFTER, get_status

NOON = datetime(2026, 11, 10, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)


@pytest.fixture
def run() -> Run:
    return Run(state=JobState.RUNNING, created_at=NOON, started_at=NOON, last_seen_at=NOON + HOUR)


def test_a_live_run_has_taken_the_time_until_now(run):
    found = get_status(run, NOON + HOUR + SILENT_AFTER)
    assert (found.silent_since, found.took_s) == (None, (HOUR + SILENT_AFTER).total_seconds())


def test_a_silent_run_has_taken_the_time_until_its_last_message(run):
    found = get_status(run, NOON + 5 * HOUR)
    assert (found.silent_since, found.took_s) == (NOON + HOUR, 3600)


def test_an_ended_run_is_not_silent(run):
    run.state, run.ended_at = JobState.SUCCEEDED, NOON + 2 * HOUR
    found = get_status(run, NOON + 9 * HOUR)
    assert (found.silent_since, found.took_s, found.lost_because) == (None, 7200, "")


def test_a_run_that_did_not_start_has_taken_no_time(run):
    run.started_at = None
    assert get_status(run, NOON).took_s is None
