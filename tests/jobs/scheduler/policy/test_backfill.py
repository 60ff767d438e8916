"""Backfill behind a waiting gang, and expected starts."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from jobs.scheduler.policy import decide
from tests.jobs.scheduler.policy.snapshots import (
    NOW,
    first_queued,
    node,
    placed,
    pool,
    queued_as,
    random_pool,
    running,
    waiting,
)


def test_a_short_job_passes_if_it_ends_before_the_gang_can_start():
    snapshot = pool(node("a", 2, held=1), running=[running(1, {"a": 1}, 1000)], waiting=waiting(2))
    short, long = waiting(1, max_duration_s=900)[0], waiting(1, max_duration_s=1100)[0]
    assert placed(replace(snapshot, waiting=[*snapshot.waiting, replace(short, job="s", since=NOW)])) == {
        "s": ("a-1",)
    }
    late = replace(snapshot, waiting=[*snapshot.waiting, replace(long, job="s", since=NOW)])
    assert placed(late) == {} and queued_as(late, "s") == ("RESERVED", 1000 + 3600)


def test_a_long_job_passes_onto_other_nodes():
    nodes = node("a", 2, held=1), node("b", 1)
    snapshot = pool(*nodes, running=[running(1, {"a": 1})], waiting=waiting(2, 1, 1))
    assert placed(snapshot) == {"w1": ("b-0",)}


def test_a_long_job_may_take_what_the_gang_will_not_need():
    snapshot = pool(node("a", 4, held=2), running=[running(1, {"a": 2})], waiting=waiting(3, 1, 1))
    assert placed(snapshot) == {"w1": ("a-2",)}


def test_no_job_passes_onto_devices_without_a_known_end():
    snapshot = pool(node("a", 2, held=1), running=[running(1, {"a": 1}, None)], waiting=waiting(2, 1))
    assert placed(snapshot) == {}
    assert queued_as(snapshot, "w0") == ("GANG_FIT", None)


@pytest.mark.parametrize("seed", range(40))
def test_no_job_that_passes_delays_the_head(seed):
    snapshot = random_pool(seed)
    before = first_queued(snapshot)
    after = decide(snapshot)
    if before is None or before[0] not in after.positions:
        return
    assert after.positions[before[0]].expected_start == before[1]


def test_in_order_each_job_starts_when_enough_has_ended():
    snapshot = pool(
        node("a", 2, held=2), running=[running(1, {"a": 1}, 100), running(2, {"a": 1}, 300)],
        waiting=waiting(2, 1, 1, max_duration_s=50),
    )  # fmt: skip
    assert [queued_as(snapshot, f"w{n}") for n in range(3)] == [
        ("GANG_FIT", 300), ("AHEAD", 350), ("AHEAD", 350)
    ]  # fmt: skip


def test_the_expected_start_is_stable_while_nothing_happens():
    snapshot = pool(node("a", 1, held=1), running=[running(1, {"a": 1}, 500)], waiting=waiting(1, 1))
    later = replace(snapshot, now=NOW + 60)
    for job in ("w0", "w1"):
        assert decide(snapshot).positions[job] == decide(later).positions[job]
