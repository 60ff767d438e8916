"""The pure scheduling core: who gets what, who may pass, and what everybody else is told."""

from __future__ import annotations

import random

import pytest
from msgspec.structs import replace

from jobs.scheduling import decide
from jobs.scheduling.snapshot import Budget, Snapshot, TeamShare
from tests.jobs.scheduling.pools import HIGH, LOW, NORMAL, NOW, node, pool, running, waiting


def placed(snapshot: Snapshot) -> dict[str, tuple[str, ...]]:
    """job -> device ids."""
    return {p.job: tuple(d for _, ids in p.seats for d in ids) for p in decide(snapshot).placings}


def told(snapshot: Snapshot, job: str) -> tuple[str, float | None]:
    standing = decide(snapshot).standings[job]
    start = standing.expected_start
    return standing.reason.code, None if start is None else start - NOW


class TestGangs:
    def test_a_gang_gets_all_its_devices_on_one_node_or_none(self):
        snapshot = pool(node("a", 2), node("b", 3, held=1), waiting=waiting(3))
        assert placed(snapshot) == {}
        reason = decide(snapshot).standings["w0"].reason
        assert (reason.code, reason.values["need"]) == ("GANG_FIT", 3)

    def test_a_gang_that_may_span_nodes_takes_the_fewest(self):
        nodes = [node("a", 2, group="g"), node("b", 3, held=1, group="g"), node("c", 1, group="g")]
        snapshot = pool(*nodes, node("d", 3), waiting=waiting(4, may_span_nodes=True))
        assert placed(snapshot) == {"w0": ("a-0", "a-1", "b-1", "b-2")}
        apart = [replace(nodes[0], group="h"), *nodes[1:]]
        assert placed(pool(*apart, waiting=waiting(4, may_span_nodes=True))) == {}

    def test_the_node_left_with_the_fewest_free_devices_is_taken(self):
        assert placed(pool(node("a", 4), node("b", 2), waiting=waiting(2))) == {"w0": ("b-0", "b-1")}

    def test_a_job_goes_back_to_the_node_that_keeps_its_checkpoints(self):
        assert placed(pool(node("a", 4), node("b", 2), waiting=waiting(2, home="a"))) == {
            "w0": ("a-0", "a-1")
        }

    def test_a_node_that_takes_no_work_is_not_used_and_named(self):
        snapshot = pool(node("a", 4, closed_because="draining"), node("b", 1), waiting=waiting(4))
        standing = decide(snapshot).standings["w0"]
        assert standing.reason.code == "NODE_DRAINED"
        assert standing.reason.sentence == "No node of pool 'default' with 4 devices takes work: 1 draining."
        assert standing.expected_start is None and standing.unknown_start

    def test_a_gang_larger_than_any_node_says_so_and_holds_nobody_up(self):
        snapshot = pool(node("a", 2), waiting=waiting(4, 2))
        assert placed(snapshot) == {"w1": ("a-0", "a-1")}
        assert decide(snapshot).standings["w0"].reason.sentence == (
            "Needs 4 devices on one node; the most that take work have 2."
        )

    def test_a_closed_pool_starts_nothing(self):
        snapshot = pool(node("a", 2), waiting=waiting(1), is_open=False)
        assert placed(snapshot) == {} and told(snapshot, "w0") == ("POOL_CLOSED", None)


class TestOrder:
    def test_a_higher_class_goes_first_whatever_its_age(self):
        (old,), (young,) = waiting(2), waiting(2, priority=HIGH)
        young = replace(young, job="high", since=NOW)
        snapshot = pool(node("a", 2), waiting=[old, young])
        assert list(placed(snapshot)) == ["high"]
        assert decide(snapshot).standings["w0"].position == 1

    def test_the_team_that_has_used_less_of_its_share_goes_first(self):
        mine = waiting(2)[0]
        other = replace(mine, job="other", team=2, since=NOW)
        shares = {1: TeamShare(used_device_s=1000), 2: TeamShare(used_device_s=900)}
        assert list(placed(pool(node("a", 2), waiting=[mine, other], shares=shares))) == ["other"]
        shares[1] = TeamShare(used_device_s=1000, weight=2.0)
        assert list(placed(pool(node("a", 2), waiting=[mine, other], shares=shares))) == ["w0"]

    def test_teams_take_turns_where_neither_has_used_anything(self):
        mine = waiting(1, 1, 1, 1)
        other = [replace(job, job=f"o{n}", team=2, since=NOW + n) for n, job in enumerate(waiting(1, 1))]
        snapshot = pool(node("a", 8, held=8), running=[running(1, {"a": 8})], waiting=[*mine, *other])
        standings = decide(snapshot).standings
        order = sorted(standings, key=lambda job: standings[job].position)
        assert order == ["w0", "o0", "w1", "o1", "w2", "w3"]

    def test_a_team_within_its_guarantee_goes_before_one_that_borrows(self):
        mine = waiting(1)[0]
        other = replace(mine, job="other", team=2, since=NOW)
        shares = {1: TeamShare(), 2: TeamShare(guaranteed=1, used_device_s=1e9)}
        assert list(placed(pool(node("a", 1), waiting=[mine, other], shares=shares))) == ["other"]


class TestQuotas:
    def test_what_is_over_the_limit_waits_and_holds_nobody_up(self):
        other = replace(waiting(1)[0], job="other", team=2, since=NOW)
        shares = {1: TeamShare("Research", guaranteed=1, borrowable=1), 2: TeamShare()}
        snapshot = pool(node("a", 4), waiting=[*waiting(1, 1, 1), other], shares=shares)
        assert set(placed(snapshot)) == {"w0", "w1", "other"}
        assert decide(snapshot).standings["w2"].reason.sentence == (
            "Team Research holds 2 of the 2 devices it may; this job needs 1."
        )

    def test_a_job_behind_its_quota_starts_when_its_teams_devices_come_back(self):
        shares = {1: TeamShare("Research", guaranteed=2, borrowable=0)}
        snapshot = pool(
            node("a", 4, held=2), running=[running(1, {"a": 2}, 500)], waiting=waiting(2, 1), shares=shares
        )
        assert told(snapshot, "w0") == ("QUOTA", 500)
        assert told(snapshot, "w1") == ("QUOTA", 500 + 3600)

    def test_a_budget_covers_whole_time_limits_of_all_that_runs(self):
        shares = {1: TeamShare("Research", budgets={"device_s": Budget(10_000, 10_000)})}
        runs = running(1, {"a": 1}, committed_device_s=4000)
        snapshot = pool(node("a", 4, held=1), running=[runs], waiting=waiting(1, 1), shares=shares)
        assert set(placed(snapshot)) == {"w0"}
        assert told(snapshot, "w1") == ("BUDGET", None)

    def test_a_job_behind_a_budget_starts_with_the_next_month_before_those_behind_it(self):
        shares = {1: TeamShare("Research", budgets={"device_s": Budget(3600, 0)}), 2: TeamShare("Others")}
        month = {"month_ends_at": NOW + 500}
        runs = running(1, {"a": 1}, 1000, team=2)
        mine, theirs = waiting(1)[0], waiting(1, team=2)[0]
        theirs = replace(theirs, job="o", since=mine.since + 1)
        snapshot = pool(node("a", 1, held=1), running=[runs], waiting=[mine, theirs], shares=shares, **month)
        assert told(snapshot, "w0") == ("BUDGET", 1000)
        assert told(snapshot, "o")[1] == 1000 + 3600

    def test_who_needs_more_than_a_whole_month_gives_has_no_expected_start(self):
        shares = {1: TeamShare("Research", budgets={"device_s": Budget(3599, 0)})}
        snapshot = pool(node("a", 1), waiting=waiting(1), shares=shares, month_ends_at=NOW + 500)
        assert told(snapshot, "w0") == ("BUDGET", None)
        assert "more than a whole month's budget" in decide(snapshot).standings["w0"].unknown_start

    def test_what_runs_into_the_next_month_is_taken_from_its_budget(self):
        shares = {1: TeamShare("Research", budgets={"device_s": Budget(4000, 0)})}
        runs = running(1, {"a": 1}, 1000, committed_device_s=1000)
        snapshot = pool(
            node("a", 2, held=1), running=[runs], waiting=waiting(1), shares=shares, month_ends_at=NOW + 500
        )
        assert told(snapshot, "w0") == ("BUDGET", None)

    @pytest.mark.parametrize(
        ("kind", "budget", "said"),
        [
            ("device_s", Budget(36_000, 1800), "has 0.5 device-hours of this month's budget left that no"),
            (
                "money",
                Budget(10, 0.5),
                "has 0.50 EUR of this month's budget left that no running job may need; this job",
            ),
            ("j", Budget(3.6e6, -1.0), "has used up this month's energy budget of 1 kWh."),
        ],
    )
    def test_the_reason_names_the_budget_that_is_short(self, kind, budget, said):
        shares = {1: TeamShare("Research", budgets={kind: budget})}
        snapshot = pool(
            node("a", 1), waiting=waiting(1), shares=shares, price_per_device_s=1 / 3600, currency="EUR"
        )
        standing = decide(snapshot).standings["w0"]
        assert said in standing.reason.sentence
        assert standing.reason.values["budget"] == kind

    def test_an_energy_budget_that_is_not_used_up_lets_a_job_in(self):
        shares = {1: TeamShare("Research", budgets={"j": Budget(3.6e6, 1.0)})}
        assert set(placed(pool(node("a", 1), waiting=waiting(1), shares=shares))) == {"w0"}


class TestBackfill:
    def test_a_short_job_passes_if_it_ends_before_the_gang_can_start(self):
        snapshot = pool(node("a", 2, held=1), running=[running(1, {"a": 1}, 1000)], waiting=waiting(2))
        short, long = waiting(1, lasts_s=900)[0], waiting(1, lasts_s=1100)[0]
        assert placed(replace(snapshot, waiting=[*snapshot.waiting, replace(short, job="s", since=NOW)])) == {
            "s": ("a-1",)
        }
        late = replace(snapshot, waiting=[*snapshot.waiting, replace(long, job="s", since=NOW)])
        assert placed(late) == {} and told(late, "s") == ("RESERVED", 1000 + 3600)

    def test_a_long_job_passes_onto_other_nodes(self):
        nodes = node("a", 2, held=1), node("b", 1)
        snapshot = pool(*nodes, running=[running(1, {"a": 1})], waiting=waiting(2, 1, 1))
        assert placed(snapshot) == {"w1": ("b-0",)}

    def test_a_long_job_may_take_what_the_gang_will_not_need(self):
        snapshot = pool(node("a", 4, held=2), running=[running(1, {"a": 2})], waiting=waiting(3, 1, 1))
        assert placed(snapshot) == {"w1": ("a-2",)}

    def test_nobody_passes_onto_devices_whose_holder_has_no_known_end(self):
        snapshot = pool(node("a", 2, held=1), running=[running(1, {"a": 1}, None)], waiting=waiting(2, 1))
        assert placed(snapshot) == {}
        assert told(snapshot, "w0") == ("GANG_FIT", None)

    @pytest.mark.parametrize("seed", range(40))
    def test_nobody_who_passes_delays_the_head(self, seed):
        snapshot = random_pool(seed)
        before = first_start(snapshot)
        after = decide(snapshot)
        if before is None or before[0] not in after.standings:
            return
        assert after.standings[before[0]].expected_start == before[1]


class TestExpectedStart:
    def test_in_order_each_job_starts_when_enough_has_ended(self):
        snapshot = pool(
            node("a", 2, held=2), running=[running(1, {"a": 1}, 100), running(2, {"a": 1}, 300)],
            waiting=waiting(2, 1, 1, lasts_s=50),
        )  # fmt: skip
        assert [told(snapshot, f"w{n}") for n in range(3)] == [
            ("GANG_FIT", 300), ("AHEAD", 350), ("AHEAD", 350)
        ]  # fmt: skip

    def test_it_does_not_move_while_nothing_happens(self):
        snapshot = pool(node("a", 1, held=1), running=[running(1, {"a": 1}, 500)], waiting=waiting(1, 1))
        later = replace(snapshot, now=NOW + 60)
        for job in ("w0", "w1"):
            assert decide(snapshot).standings[job] == decide(later).standings[job]


class TestPreemption:
    def test_a_higher_class_takes_from_the_lower_one_who_loses_least(self):
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
    def test_some_are_spared(self, fields):
        runs = [running(1, {"a": 1}, **fields)]
        snapshot = pool(node("a", 1, held=1), running=runs, waiting=waiting(1, priority=HIGH))
        assert decide(snapshot).preemptions == []

    def test_nobody_is_stopped_while_devices_are_being_given_back(self):
        runs = [running(1, {"a": 1}, priority=LOW, is_stopping=True), running(2, {"a": 1}, priority=LOW)]
        snapshot = pool(node("a", 2, held=2), running=runs, waiting=waiting(1, priority=HIGH))
        assert decide(snapshot).preemptions == []
        soon = [running(1, {"a": 1}, 30, priority=HIGH), running(2, {"a": 1}, priority=LOW)]
        assert decide(replace(snapshot, running=soon)).preemptions == []

    def test_nobody_is_stopped_in_vain(self):
        runs = [running(1, {"a": 1}, priority=LOW), running(2, {"a": 1}, priority=HIGH)]
        snapshot = pool(node("a", 2, held=2), running=runs, waiting=waiting(2, priority=HIGH))
        assert decide(snapshot).preemptions == []

    def test_the_gang_is_freed_on_one_node_with_as_few_victims_as_needed(self):
        runs = [
            running(1, {"a": 1}, priority=LOW), running(2, {"a": 2}, priority=LOW, saved_at=NOW - 50),
            running(3, {"b": 2}, priority=LOW, saved_at=NOW - 1),
        ]  # fmt: skip
        snapshot = pool(
            node("a", 3, held=3), node("b", 2, held=2), running=runs, waiting=waiting(2, priority=NORMAL)
        )
        assert [p.attempt for p in decide(snapshot).preemptions] == [3]

    def test_a_team_takes_back_what_it_is_guaranteed_from_one_that_borrows(self):
        shares = {1: TeamShare(), 2: TeamShare(guaranteed=1)}
        runs = [running(1, {"a": 1}), running(2, {"a": 1})]
        mine = replace(waiting(1)[0], team=2)
        snapshot = pool(node("a", 2, held=2), running=runs, waiting=[mine], shares=shares)
        assert len(decide(snapshot).preemptions) == 1
        shares = {1: TeamShare(guaranteed=2), 2: TeamShare(guaranteed=1)}
        assert decide(replace(snapshot, shares=shares)).preemptions == []


def random_pool(seed: int) -> Snapshot:
    pick = random.Random(seed)
    nodes, runs = [], []
    for name in "abcd":
        held = pick.randint(1, 4)
        nodes.append(node(name, 4, held=held))
        runs += [running(len(runs) + 1, {name: 1}, pick.randint(100, 5000)) for _ in range(held)]
    jobs = [
        replace(job, lasts_s=pick.randint(50, 6000))
        for job in waiting(*(pick.randint(1, 4) for _ in range(20)))
    ]
    return pool(*nodes, running=runs, waiting=jobs)


def first_start(snapshot: Snapshot) -> tuple[str, float | None] | None:
    """The first job that has to wait, and when it would start if nobody came behind it."""
    queue = list(snapshot.waiting)
    for last in range(1, len(queue) + 1):
        standings = decide(replace(snapshot, waiting=queue[:last])).standings
        if standings:
            (job,) = standings
            return job, standings[job].expected_start
    return None


@pytest.mark.parametrize("seed", range(40))
def test_whatever_the_pool_no_device_is_given_twice_and_each_gang_is_whole(seed):
    snapshot = random_pool(seed)
    decisions = decide(snapshot)
    given = [d for p in decisions.placings for _, ids in p.seats for d in ids]
    assert len(given) == len(set(given))
    assert set(given) <= {device for n in snapshot.nodes for device in n.free}
    sizes = {job.job: job.num_devices for job in snapshot.waiting}
    assert all(sum(len(ids) for _, ids in p.seats) == sizes[p.job] for p in decisions.placings)
    assert {p.job for p in decisions.placings} | decisions.standings.keys() == sizes.keys()
    positions = sorted(standing.position for standing in decisions.standings.values())
    assert positions == list(range(1, len(positions) + 1))
