"""Cost of one run: booked, held by its live attempt, and per token."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from django.utils import timezone

from jobs import series
from jobs.accounting.run_cost import get_run_cost, held_by_live_attempts
from jobs.models import Attempt
from jobs.pools import pool_settings
from jobs.series import Point
from jobs.tracking import external_runs
from tests.jobs.device_usage import end_attempt, hold_devices

pytestmark = pytest.mark.django_db

NOON = datetime(2026, 11, 10, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)


def test_a_run_that_held_no_device_has_no_cost(make_job, node, team, owner):
    assert get_run_cost(make_job().run) is None
    logged = external_runs.create(team=team, owner=owner, name="logged", origin="test")
    assert get_run_cost(logged) is None


def test_an_ended_run_has_booked_costs_and_a_price_per_million_tokens(make_job, node, pool):
    pool_settings.change(pool, "ann", {"price_per_device_hour": "3"})
    job = make_job(devices=2)
    attempt = hold_devices(job, NOON)
    series.append(job.run.id, 1, "rank0", 0, [Point("tokens", "run", 10, NOON.timestamp(), 2e6)])
    end_attempt(attempt, at=NOON + HOUR)
    job.refresh_from_db()
    cost = get_run_cost(job.run)
    assert cost.booked.device_s == pytest.approx(7200)
    assert cost.per_million_tokens == {"EUR": pytest.approx(3.0)}
    assert (cost.held_device_s, cost.held_money) == (None, None)


def test_a_live_run_holds_devices_at_the_price_of_today_and_has_no_price_per_token(make_job, node, pool):
    job = make_job(devices=2)
    hold_devices(job, timezone.now() - HOUR)
    series.append(job.run.id, 1, "rank0", 0, [Point("tokens", "run", 10, NOON.timestamp(), 2e6)])
    job.refresh_from_db()
    assert get_run_cost(job.run).held_money is None
    pool_settings.change(pool, "ann", {"price_per_device_hour": "3"})
    job.pool.refresh_from_db()
    cost = get_run_cost(job.run)
    assert cost.held_device_s == pytest.approx(7200, rel=0.01)
    assert cost.held_money == pytest.approx(6, rel=0.01)
    assert cost.per_million_tokens == {}


def test_live_attempts_are_counted_with_the_devices_of_their_jobs(make_job, node):
    hold_devices(make_job(devices=2), NOON)
    assert held_by_live_attempts(Attempt.objects.all(), NOON + HOUR) == (1, 7200.0)
    assert held_by_live_attempts(Attempt.objects.none(), NOON) == (0, 0)
