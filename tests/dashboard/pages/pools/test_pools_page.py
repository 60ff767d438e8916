"""Pools page: nodes and devices with readings, occupants and absent values."""

from __future__ import annotations

import html
import re
from datetime import timedelta

import pytest
from django.utils import timezone

from jobs.models import Device, Lease, Node
from jobs.pools import pool_settings

POOLS = "/pools/"


@pytest.mark.django_db
def test_an_empty_page_explains_how_to_make_a_pool(owner_browser):
    assert "No pool yet" in owner_browser.get(POOLS).text


def test_a_device_shows_its_readings_and_why_others_are_missing(owner_browser, node):
    readings = {
        "metrics": {"utilisation_pct": 87.5},
        "missing": {"power_w": ["denied", "Only root may read it."]},
    }
    Device.objects.filter(id="a-0").update(latest=readings, latest_at=timezone.now())
    text = owner_browser.get(POOLS).text
    assert "87.5 %" in text
    assert "denied: Only root may read it." in text


def test_a_device_without_a_reading_has_no_value(owner_browser, node):
    text = owner_browser.get(POOLS).text
    assert "not measured" in text
    assert "0.0 %" not in text
    assert "stale" in text


def test_old_readings_are_stale_and_a_silent_node_is_unreachable(owner_browser, node):
    old = timezone.now() - timedelta(minutes=5)
    Node.objects.update(heartbeat_at=old)
    Device.objects.update(latest={"metrics": {"utilisation_pct": 50.0}}, latest_at=old)
    text = owner_browser.get(POOLS).text
    assert "stale" in text
    assert "unreachable" in text


def test_a_used_device_shows_its_job(owner_browser, make_job, node, make_attempt):
    job = make_job(name="holder")
    Lease.objects.create(attempt=make_attempt(job, node), device=node.devices.first(), rank=0)
    assert "holder" in owner_browser.get(POOLS).text


def test_the_job_of_a_device_is_hidden_from_strangers(stranger_browser, make_job, node, make_attempt):
    job = make_job(name="secret")
    Lease.objects.create(attempt=make_attempt(job, node), device=node.devices.first(), rank=0)
    text = stranger_browser.get(POOLS).text
    assert "secret" not in text
    assert "Used by another team" in text


def test_a_removed_device_is_not_shown(owner_browser, node):
    Device.objects.filter(id="a-1").update(is_present=False)
    text = owner_browser.get(POOLS).text
    assert "Device 0" in text
    assert "Device 1" not in text


def test_limits_and_prices_are_shown_beside_the_name_of_a_pool(owner_browser, node, pool):
    assert "per device-hour" not in owner_browser.get(POOLS).text
    pool_settings.change(pool, "ann", {"labels": "gpu=h200", "max_gang": "4", "max_time_limit_s": "12 h",
                               "price_per_device_hour": "2.5", "allowed_teams": "research"})  # fmt: skip
    text = owner_browser.get(POOLS).text
    for said in (
        "gpu=h200",
        "at most 4 devices per job",
        "at most 12 h",
        "2.50 EUR per device-hour",
        "only for Research",
    ):
        assert said in text


@pytest.mark.django_db
def test_a_link_opens_the_form_of_a_fabric_test_for_the_pool(owner_browser, node, pool):
    found = re.search(r'href="([^"]+)"[^>]*>\s*Benchmark interconnect', owner_browser.get(POOLS).text)
    assert "Measures the links between 2 devices" in owner_browser.get(html.unescape(found[1])).text
    pool_settings.change(pool, "ann", {"max_gang": "1"})
    assert "Benchmark interconnect" not in owner_browser.get(POOLS).text
