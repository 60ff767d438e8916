"""Pool map: every device with its occupant, readings, health, and reasons of absent readings."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.utils import timezone

from jobs.models import Device, Lease, Node
from jobs.nodes import admin
from tests.dashboard.test_query_counts import queries

MAP = "/pools/map/"


def lease_device(make_job, node, make_attempt, device: int = 0) -> None:
    job = make_job(name="gpt")
    Lease.objects.create(attempt=make_attempt(job, node), device=node.devices.get(index=device), rank=0)


def test_a_device_is_drawn_with_its_occupant(owner_browser, make_job, node, make_attempt):
    lease_device(make_job, node, make_attempt)
    drawn = owner_browser.get(MAP).json()
    assert (drawn["pools"], drawn["nodes"]["name"], drawn["devices"]["index"]) == (["default"], ["a"], [0, 1])
    assert drawn["devices"]["holder"] == [0, -1]
    assert drawn["holders"][0][:3] == ["gpt", "olga", "Research"]


def test_a_stranger_sees_only_that_a_device_is_used(stranger_browser, make_job, node, make_attempt):
    lease_device(make_job, node, make_attempt)
    answer = stranger_browser.get(MAP)
    assert answer.json()["devices"]["holder"] == [0, -1]
    assert answer.json()["holders"] == [None]
    assert "gpt" not in answer.text


def test_an_admin_sees_the_owner(admin_client, make_job, node, make_attempt):
    lease_device(make_job, node, make_attempt)
    assert admin_client.get(MAP).json()["holders"][0][1] == "olga"


def test_readings_are_rounded_and_absent_ones_have_a_reason(owner_browser, node):
    readings = {
        "metrics": {
            "utilisation_pct": 87.6,
            "memory_used_bytes": 2 * 1024**3,
            "memory_bandwidth_share": 0.504,
        },
        "missing": {"power_w": ["denied", "Only root may read it."]},
    }
    Device.objects.filter(id="a-0").update(latest=readings, latest_at=timezone.now())
    drawn = owner_browser.get(MAP).json()
    first = {name: drawn["devices"][name][0] for name in ("compute", "memory", "bandwidth", "power")}
    assert (first["compute"], first["memory"], first["bandwidth"]) == (88, 25, 50)
    assert drawn["reasons"][-1 - first["power"]] == "denied: Only root may read it."
    assert (
        drawn["reasons"][-1 - drawn["devices"]["compute"][1]] == "absent: The node has sent no reading yet."
    )


def test_an_idle_device_is_zero_and_not_absent(owner_browser, node):
    Device.objects.update(latest={"metrics": {"utilisation_pct": 0.0}}, latest_at=timezone.now())
    assert owner_browser.get(MAP).json()["devices"]["compute"] == [0, 0]


def test_an_old_reading_is_drawn_as_stale(owner_browser, node):
    old = timezone.now() - timedelta(hours=1)
    Device.objects.update(latest={"metrics": {"utilisation_pct": 99.0}}, latest_at=old)
    drawn = owner_browser.get(MAP).json()
    assert drawn["reasons"][-1 - drawn["devices"]["compute"][0]].startswith("stale")


@pytest.mark.parametrize(
    ("change", "state"),
    [
        ({}, "open"),
        ({"admin_state": "cordoned"}, "cordoned"),
        ({"health": "suspect"}, "suspect"),
        ({"heartbeat_at": None}, "unreachable"),
        ({"health": "failed", "heartbeat_at": None}, "failed"),
    ],
)
def test_a_node_shows_the_state_that_keeps_jobs_from_it(owner_browser, node, change, state):
    Node.objects.update(**change)
    assert owner_browser.get(MAP).json()["nodes"]["state"] == [state]


def test_retired_nodes_and_removed_devices_are_not_drawn(owner_browser, node, make_node):
    admin.retire(make_node("old"), "ada", "sold")
    Device.objects.filter(id="a-1").update(is_present=False)
    drawn = owner_browser.get(MAP).json()
    assert drawn["nodes"]["name"] == ["a"]
    assert len(drawn["devices"]["node"]) == 1


def test_simulated_nodes_are_marked(owner_browser, make_node):
    make_node("real")
    make_node("s", facts={"simulated": True})
    assert owner_browser.get(MAP).json()["nodes"]["is_simulated"] == [0, 1]


def test_more_nodes_and_occupants_take_the_same_number_of_queries(
    owner_browser, make_job, make_node, make_attempt
):
    lease_device(make_job, make_node("b"), make_attempt)
    few = queries(owner_browser, MAP)
    for name in "cde":
        lease_device(make_job, make_node(name), make_attempt)
    assert queries(owner_browser, MAP) == few


def test_many_nodes_are_shown_without_cards_and_unavailable_ones_are_listed(owner_browser, make_node):
    for number in range(7):
        make_node(f"n{number}")
    admin.cordon(Node.objects.get(id="node-n3"), "ada", "odd noises")
    text = owner_browser.get("/pools/").text
    assert "Nodes that take no jobs" in text
    assert "odd noises" in text
    assert "Device 0" not in text
