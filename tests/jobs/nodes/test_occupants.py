"""Attempts that occupy a node, and devices with their leases."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from jobs.models import Device
from jobs.nodes.heartbeat import is_fresh
from jobs.nodes.occupants import (
    devices_with_leases,
    get_ended_attempts,
    get_lease,
    get_occupants,
    nodes_with_devices,
)
from tests.jobs.device_usage import end_attempt, hold_devices

pytestmark = pytest.mark.django_db


def test_an_occupant_has_its_devices_and_its_latest_end(node, make_job):
    job = make_job(devices=2, name="long")
    hold_devices(job, timezone.now())
    [found] = get_occupants(node, lambda team: True)
    assert (found.job, [device.index for device in found.devices]) == (job, [0, 1])
    assert found.can_see_details and not found.is_over
    assert found.ends_by == found.attempt.started_at + timedelta(seconds=job.time_limit_s)
    [hidden] = get_occupants(node, lambda team: False)
    assert not hidden.can_see_details


def test_an_attempt_past_its_time_limit_is_over(node, make_job):
    hold_devices(make_job(), timezone.now() - timedelta(days=400))
    [found] = get_occupants(node, lambda team: True)
    assert found.is_over


def test_ended_attempts_are_listed_apart_the_newest_first(node, make_job):
    now = timezone.now()
    attempts = [
        end_attempt(
            hold_devices(make_job(name=name), now - timedelta(hours=2)), at=now - timedelta(hours=age)
        )
        for age, name in ((1, "first"), (0, "second"))
    ]
    assert get_occupants(node, lambda team: True) == []
    assert get_ended_attempts(node, 9) == attempts[::-1]
    assert get_ended_attempts(node, 1) == attempts[1:]


def test_present_devices_come_with_the_lease_that_holds_them(node, make_job):
    attempt = hold_devices(make_job(devices=1), timezone.now())
    leases = {device.index: get_lease(device) for device in devices_with_leases()}
    assert leases[0].attempt == attempt and leases[1] is None
    Device.objects.filter(index=1).update(is_present=False)
    with CaptureQueriesContext(connection) as seen:
        [found] = nodes_with_devices()
        assert [device.index for device in found.devices.all()] == [0]
    assert len(seen) == 3


def test_a_reading_is_fresh_until_the_node_counts_as_unreachable(settings):
    now = timezone.now()
    limit = timedelta(seconds=settings.UNREACHABLE_AFTER_S)
    assert is_fresh(now - limit / 2, now)
    assert not is_fresh(now - limit, now) and not is_fresh(None, now)
