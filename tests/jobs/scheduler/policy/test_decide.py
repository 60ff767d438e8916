"""Assignments of devices and order of the queue."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from jobs.scheduler.policy import decide
from jobs.scheduler.policy.snapshot import TeamShare
from tests.jobs.scheduler.policy.snapshots import (
    HIGH,
    NOW,
    node,
    placed,
    pool,
    queued_as,
    random_pool,
    running,
    waiting,
)


def test_a_gang_gets_all_its_devices_on_one_node_or_none():
    snapshot = pool(node("a", 2), node("b", 3, held=1), waiting=waiting(3))
    assert placed(snapshot) == {}
    reason = decide(snapshot).positions["w0"].reason
    assert (reason.code, reason.values["need"]) == ("GANG_FIT", 3)


def test_a_gang_that_may_span_nodes_takes_the_fewest():
    nodes = [node("a", 2, group="g"), node("b", 3, held=1, group="g"), node("c", 1, group="g")]
    snapshot = pool(*nodes, node("d", 3), waiting=waiting(4, may_span_nodes=True))
    assert placed(snapshot) == {"w0": ("a-0", "a-1", "b-1", "b-2")}
    apart = [replace(nodes[0], group="h"), *nodes[1:]]
    assert placed(pool(*apart, waiting=waiting(4, may_span_nodes=True))) == {}


def test_the_node_left_with_the_fewest_free_devices_is_taken():
    assert placed(pool(node("a", 4), node("b", 2), waiting=waiting(2))) == {"w0": ("b-0", "b-1")}


def test_a_job_goes_back_to_the_node_that_keeps_its_checkpoints():
    assert placed(pool(node("a", 4), node("b", 2), waiting=waiting(2, homes=("a",)))) == {
        "w0": ("a-0", "a-1")
    }


def test_a_node_that_takes_no_work_is_not_used_and_is_named_in_the_reason():
    snapshot = pool(node("a", 4, closed_reason="draining"), node("b", 1), waiting=waiting(4))
    queue_position = decide(snapshot).positions["w0"]
    assert queue_position.reason.code == "NODE_DRAINED"
    assert (
        queue_position.reason.sentence == "No node of pool 'default' with 4 devices takes work: 1 draining."
    )
    assert queue_position.expected_start is None and queue_position.unknown_start


def test_a_gang_larger_than_any_node_waits_and_delays_no_other_job():
    snapshot = pool(node("a", 2), waiting=waiting(4, 2))
    assert placed(snapshot) == {"w1": ("a-0", "a-1")}
    assert decide(snapshot).positions["w0"].reason.sentence == (
        "Needs 4 devices on one node; the largest available has 2."
    )


def test_a_closed_pool_starts_nothing():
    snapshot = pool(node("a", 2), waiting=waiting(1), is_open=False)
    assert placed(snapshot) == {} and queued_as(snapshot, "w0") == ("POOL_CLOSED", None)


def test_a_higher_class_goes_first_whatever_its_age():
    (old,), (young,) = waiting(2), waiting(2, priority=HIGH)
    young = replace(young, job="high", since=NOW)
    snapshot = pool(node("a", 2), waiting=[old, young])
    assert list(placed(snapshot)) == ["high"]
    assert decide(snapshot).positions["w0"].position == 1


def test_the_team_that_has_used_less_of_its_share_goes_first():
    mine = waiting(2)[0]
    other = replace(mine, job="other", team=2, since=NOW)
    shares = {1: TeamShare(used_device_s=1000), 2: TeamShare(used_device_s=900)}
    assert list(placed(pool(node("a", 2), waiting=[mine, other], shares=shares))) == ["other"]
    shares[1] = TeamShare(used_device_s=1000, weight=2.0)
    assert list(placed(pool(node("a", 2), waiting=[mine, other], shares=shares))) == ["w0"]


def test_teams_take_turns_where_neither_has_used_anything():
    mine = waiting(1, 1, 1, 1)
    other = [replace(job, job=f"o{n}", team=2, since=NOW + n) for n, job in enumerate(waiting(1, 1))]
    snapshot = pool(node("a", 8, held=8), running=[running(1, {"a": 8})], waiting=[*mine, *other])
    positions = decide(snapshot).positions
    order = sorted(positions, key=lambda job: positions[job].position)
    assert order == ["w0", "o0", "w1", "o1", "w2", "w3"]


def test_a_team_within_its_guarantee_goes_before_one_that_borrows():
    mine = waiting(1)[0]
    other = replace(mine, job="other", team=2, since=NOW)
    shares = {1: TeamShare(), 2: TeamShare(guaranteed=1, used_device_s=1e9)}
    assert list(placed(pool(node("a", 1), waiting=[mine, other], shares=shares))) == ["other"]


@pytest.mark.parametrize("seed", range(40))
def test_no_device_is_assigned_twice_and_each_gang_is_complete(seed):
    snapshot = random_pool(seed)
    decisions = decide(snapshot)
    given = [d for p in decisions.assignments for _, ids in p.node_devices for d in ids]
    assert len(given) == len(set(given))
    assert set(given) <= {device for n in snapshot.nodes for device in n.free}
    sizes = {job.job: job.num_devices for job in snapshot.waiting}
    assert all(sum(len(ids) for _, ids in p.node_devices) == sizes[p.job] for p in decisions.assignments)
    assert {p.job for p in decisions.assignments} | decisions.positions.keys() == sizes.keys()
    numbers = sorted(queue_position.position for queue_position in decisions.positions.values())
    assert numbers == list(range(1, len(numbers) + 1))
