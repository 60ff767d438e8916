"""Unused time of held devices: counted once per reading, and only if it was measured."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from engine.telemetry.wire import SpoolLine
from jobs.accounting import totals, utilisation
from jobs.attempts.ingest import ingest
from jobs.lifecycle.transitions import move_attempt
from jobs.models import Attempt, Job, Lease
from jobs.pools import pool_settings
from jobs.states.jobs import AttemptState
from tests.jobs.fake_supervisor import step_line, write_spool
from tests.jobs.placed_jobs import claim

pytestmark = pytest.mark.django_db

NOON = datetime(2026, 11, 10, 12, tzinfo=UTC)


def reading(after_s: float, pct: float | str | None, device: str = "a-0") -> SpoolLine:
    metrics = {} if pct is None else {"utilisation_pct": pct}
    return SpoolLine("device", NOON.timestamp() + after_s, f"device:{device}", metrics=metrics)


@pytest.fixture
def taken(make_job, settings):
    attempt, directory = claim(make_job(devices=1), settings.NODE_DIR)
    return attempt, directory


def sums(attempt: Attempt) -> dict[str, tuple[float, float]]:
    return {day.isoformat(): seconds for day, seconds in utilisation.seconds_by_day(attempt).items()}


def test_time_below_the_pools_threshold_is_unused(taken, pool):
    attempt, directory = taken
    pool_settings.change(pool, "ann", {"idle_below_pct": "10"})
    write_spool(
        directory, reading(0, 0.0), reading(1, 9.9), reading(2, 10.0), reading(3, 0.0), file="device.jsonl"
    )
    ingest(attempt)
    assert sums(attempt) == {"2026-11-10": (3.0, 2.0)}
    assert Lease.objects.get().used_at == NOON + timedelta(seconds=2)


def test_readings_ingested_in_pieces_are_counted_once(taken):
    attempt, directory = taken
    for second in range(4):
        write_spool(directory, reading(second, 0.0), file="device.jsonl")
        ingest(attempt)
        ingest(attempt)
    assert sums(attempt) == {"2026-11-10": (3.0, 3.0)}


def test_a_gap_and_a_missing_reading_are_not_measured(taken):
    attempt, directory = taken
    write_spool(directory, reading(0, 0.0), reading(1, None), reading(2, "NaN"), reading(500, 0.0), reading(501, 0.0),
        file="device.jsonl")  # fmt: skip
    ingest(attempt)
    assert sums(attempt) == {"2026-11-10": (1.0, 1.0)}


def test_a_device_without_a_lease_of_the_attempt_is_not_counted(taken):
    attempt, directory = taken
    write_spool(directory, reading(0, 0.0, "zz-9"), reading(1, 0.0, "zz-9"), file="device.jsonl")
    ingest(attempt)
    assert sums(attempt) == {}


def test_each_day_has_its_own_sum(taken):
    attempt, directory = taken
    for hour in (11.99, 12.0, 12.01):
        write_spool(directory, reading(hour * 3600, 0.0), file="device.jsonl")
    ingest(attempt)
    assert {day: round(seconds[1]) for day, seconds in sums(attempt).items()} == {"2026-11-11": 72}


def test_unused_time_is_booked_with_the_time_that_was_measured(taken):
    attempt, directory = taken
    write_spool(directory, *[reading(second, 0.0) for second in range(31)], file="device.jsonl")
    ingest(attempt)
    Attempt.objects.update(assigned_at=NOON)
    move_attempt(attempt.id, AttemptState.FAILED, actor="test", ended_at=NOON + timedelta(seconds=60))
    (line,) = totals.usage_rows(totals.charges(), ("team",))
    assert (line.unused_device_s, line.use_share) == (30.0, 0.5)


def test_without_a_reading_no_time_is_unused(taken):
    attempt, _ = taken
    Attempt.objects.update(assigned_at=NOON)
    move_attempt(attempt.id, AttemptState.FAILED, actor="test", ended_at=NOON + timedelta(seconds=60))
    (line,) = totals.usage_rows(totals.charges(), ("team",))
    assert (line.unused_device_s, line.to_json()["unused_device_s"]) == (None, "not measured")


def test_a_device_is_unused_since_a_moment_only_while_it_is_measured(taken):
    attempt, _ = taken
    lease = Lease.objects.get(attempt=attempt)
    assert utilisation.unused_since(lease, NOON) is None
    lease.began_at, lease.read_at, lease.used_at = (
        NOON - timedelta(hours=2),
        NOON,
        NOON - timedelta(minutes=6),
    )
    assert utilisation.unused_since(lease, NOON) == NOON - timedelta(minutes=6)
    lease.used_at = NOON - timedelta(minutes=4)
    assert utilisation.unused_since(lease, NOON) is None
    lease.used_at = None
    assert utilisation.unused_since(lease, NOON) == NOON - timedelta(hours=2)
    assert utilisation.unused_since(lease, NOON + timedelta(minutes=5)) is None


def test_the_time_of_the_newest_step_is_stored(taken):
    attempt, directory = taken
    write_spool(directory, step_line(1), step_line(2, at=2000.0))
    ingest(attempt)
    assert Job.objects.get().stepped_at == datetime.fromtimestamp(2002.0, UTC)
