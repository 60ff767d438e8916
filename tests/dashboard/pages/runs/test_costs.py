"""Costs on the run page: booked and running, only with measured values and set prices."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from django.utils import timezone

from jobs import series
from jobs.pools import pool_settings
from jobs.series import Point
from tests.jobs.device_usage import add_energy, end_attempt, hold_devices

NOON = datetime(2026, 11, 10, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)


@pytest.fixture
def page(owner_browser):
    def page(job) -> str:
        return " ".join(owner_browser.get(f"/runs/{job.run.id}/").text.split())

    return page


def test_a_run_without_devices_has_no_cost(make_job, page, node):
    assert "cost-title" not in page(make_job())


def test_ended_attempts_show_device_hours_waste_energy_and_cost_per_token(make_job, page, node, pool):
    pool_settings.change(pool, "ann", {"price_per_device_hour": "3"})
    job = make_job(devices=2)
    attempt = hold_devices(job, NOON)
    add_energy(attempt, (HOUR, 1.8e6), devices=("a-0",))
    series.append(job.run.id, 1, "rank0", 0, [Point("tokens", "run", 10, NOON.timestamp(), 2e6)])
    end_attempt(attempt, at=NOON + HOUR)
    text = page(job)
    for expected in (
        "2.00, 100.0 % of them wasted", "0.50 kWh, measured on 50.0 % of the device-time", "6.00 EUR",
        "3.00 EUR per million tokens",
    ):  # fmt: skip
        assert expected.replace("2.00,", "2,") in text or expected in text
    assert 'Idle allocation</dt> <dd> <span class="absent"' in text


def test_a_running_attempt_is_shown_separately_and_is_not_booked(make_job, page, node, pool):
    job = make_job(devices=2)
    hold_devices(job, timezone.now() - HOUR)
    assert "2.00 device-hours so far; booked when it ends" in page(job)
    pool_settings.change(pool, "ann", {"price_per_device_hour": "3"})
    assert "2.00 device-hours so far, 6.00 EUR; booked when it ends" in page(job)


def test_carbon_is_estimated_from_measured_energy_if_the_pool_has_an_emission_factor(
    make_job, page, node, pool, owner_browser
):
    first = hold_devices(make_job(devices=2), NOON)
    add_energy(first, (HOUR, 3.6e6), devices=("a-0",))
    end_attempt(first, at=NOON + HOUR)
    assert "Carbon" not in page(first.job)
    pool_settings.change(pool, "ann", {"carbon_g_per_kwh": "400", "pue": "1.25"})
    second = hold_devices(make_job(devices=2), NOON)
    add_energy(second, (HOUR, 3.6e6), devices=("a-0",))
    end_attempt(second, at=NOON + HOUR)
    assert '500 g CO₂e <span class="quiet">estimated</span>' in page(second.job)
    assert "500 g CO₂e" in owner_browser.get("/accounting/?month=2026-11").text
    assert "CO2e g, estimated" in owner_browser.get("/accounting/csv/?month=2026-11&by=team").text
    line = owner_browser.get("/api/v1/accounting").json()["lines"][0]
    assert line["carbon_g"] == pytest.approx(500)
