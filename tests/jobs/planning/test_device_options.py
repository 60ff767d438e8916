"""Devices that a team's job could run on."""

from __future__ import annotations

import pytest

from engine.hardware.peaks import PEAKS
from jobs.models import Device, Pool, Team
from jobs.planning import plans
from jobs.planning.device_options import get_device_options
from tests.jobs.finished_jobs import add_profile

pytestmark = pytest.mark.django_db


def pool_options(*teams: Team, max_devices: int = 8):
    return [option for option in get_device_options(teams, max_devices) if option.pool]


def test_pools_come_first_and_every_known_device_follows(node, team):
    found = get_device_options([team], 8)
    assert [option.pool for option in found[:2]] == ["default", ""]
    assert len(found) == 1 + len(PEAKS)


def test_an_unprobed_pool_has_no_profile_and_the_reason(node, team):
    [option] = pool_options(team)
    assert option.profile is None and "not been probed" in option.why_not


def test_a_probed_pool_has_its_profile_and_no_more_devices_than_a_job_may_hold(node, team):
    add_profile(Device.objects.get(id="a-0"))
    [option] = pool_options(team)
    assert option.profile is not None and option.title == option.profile.name == "cpu share"
    assert option.why_not == ""
    assert option.max_devices == Device.objects.count() < 8
    assert pool_options(team, max_devices=1)[0].max_devices == 1


def test_a_pool_that_takes_no_jobs_of_the_teams_is_left_out(node, pool, team):
    pool.allowed_teams.set([Team.objects.create(name="Others", slug="others")])
    assert pool_options(team) == []
    assert len(pool_options()) == 1  # a person without a team sees every open pool
    Pool.objects.update(is_open=False)
    assert pool_options() == []


def test_a_pool_has_the_host_memory_of_its_smallest_node_or_none(node, make_node, pool, make_spec):
    add_profile(Device.objects.get(id="a-0"))
    assert plans.get_profile(pool).node_memory_bytes is None  # the node does not report it
    node.facts = {"memory_bytes": 64 * 2**30}
    node.save()
    assert plans.get_profile(pool).node_memory_bytes == 64 * 2**30
    make_node("b", devices=1, facts={"memory_bytes": 32 * 2**30})
    assert plans.get_profile(pool).node_memory_bytes == 32 * 2**30
    [host] = [use for use in plans.build_plan(make_spec(devices=2), pool)["places"] if use["place"] == "host"]
    assert host["capacity_bytes"] == 32 * 2**30 and host["label"] == "fits"


def test_an_unprobed_device_has_the_host_memory_of_its_node(make_node, pool):
    make_node("a", devices=1, facts={"memory_bytes": 8 * 2**30})
    assert plans.get_profile_or_capacity(pool).node_memory_bytes == 8 * 2**30
