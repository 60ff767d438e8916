"""Choice of the attempts to preempt."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from jobs.scheduler.policy import decide
from jobs.scheduler.policy.snapshot import TeamShare
from tests.jobs.scheduler.policy.snapshots import HIGH, LOW, NORMAL, NOW, node, pool, running, waiting


def test_a_higher_class_preempts_the_lower_attempt_with_the_least_loss():
    runs = [
        running(1, {"a": 1}, priority=LOW, saved_at=NOW - 500),
        running(2, {"a": 1}, priority=LOW, saved_at=NOW - 5),
    ]
    snapshot = pool(node("a", 2, held=2), running=runs, waiting=waiting(1, priority=HIGH))
    assert [(p.attempt, p.by) for p in decide(snapshot).preemptions] == [(2, "w0")]


@pytest.mark.parametrize(
    "fields",
    [
        {"priority": NORMAL, "is_preemptible": False},
        {"priority": HIGH},
        {"priority": LOW, "began_at": NOW - 10},
    ],
)
def test_some_are_spared(fields):
    runs = [running(1, {"a": 1}, **fields)]
    snapshot = pool(node("a", 1, held=1), running=runs, waiting=waiting(1, priority=HIGH))
    assert decide(snapshot).preemptions == []


def test_no_attempt_is_stopped_while_devices_are_being_released():
    runs = [running(1, {"a": 1}, priority=LOW, is_stopping=True), running(2, {"a": 1}, priority=LOW)]
    snapshot = pool(node("a", 2, held=2), running=runs, waiting=waiting(1, priority=HIGH))
    assert decide(snapshot).preemptions == []
    soon = [running(1, {"a": 1}, 30, priority=HIGH), running(2, {"a": 1}, priority=LOW)]
    assert decide(replace(snapshot, running=soon)).preemptions == []


def test_no_attempt_is_stopped_if_the_gang_would_not_fit():
    runs = [running(1, {"a": 1}, priority=LOW), running(2, {"a": 1}, priority=HIGH)]
    snapshot = pool(node("a", 2, held=2), running=runs, waiting=waiting(2, priority=HIGH))
    assert decide(snapshot).preemptions == []


def test_the_gang_is_freed_on_one_node_with_as_few_victims_as_needed():
    runs = [
        running(1, {"a": 1}, priority=LOW), running(2, {"a": 2}, priority=LOW, saved_at=NOW - 50),
        running(3, {"b": 2}, priority=LOW, saved_at=NOW - 1),
    ]  # fmt: skip
    snapshot = pool(
        node("a", 3, held=3), node("b", 2, held=2), running=runs, waiting=waiting(2, priority=NORMAL)
    )
    assert [p.attempt for p in decide(snapshot).preemptions] == [3]


def test_a_team_takes_back_what_it_is_guaranteed_from_one_that_borrows():
    shares = {1: TeamShare(), 2: TeamShare(guaranteed=1)}
    runs = [running(1, {"a": 1}), running(2, {"a": 1})]
    mine = replace(waiting(1)[0], team=2)
    snapshot = pool(node("a", 2, held=2), running=runs, waiting=[mine], shares=shares)
    assert len(decide(snapshot).preemptions) == 1
    shares = {1: TeamShare(guaranteed=2), 2: TeamShare(guaranteed=1)}
    assert decide(replace(snapshot, shares=shares)).preemptions == []
