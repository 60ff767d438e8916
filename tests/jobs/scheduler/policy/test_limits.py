"""Quotas and budgets, and expected starts of jobs that wait for them."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from jobs.accounting.budget import MonthlyBudget
from jobs.scheduler.policy import decide
from jobs.scheduler.policy.snapshot import TeamShare
from tests.jobs.scheduler.policy.snapshots import NOW, node, placed, pool, queued_as, running, waiting


def test_a_job_over_the_quota_waits_and_delays_no_other_job():
    other = replace(waiting(1)[0], job="other", team=2, since=NOW)
    shares = {1: TeamShare("Research", guaranteed=1, borrowable=1), 2: TeamShare()}
    snapshot = pool(node("a", 4), waiting=[*waiting(1, 1, 1), other], shares=shares)
    assert set(placed(snapshot)) == {"w0", "w1", "other"}
    assert decide(snapshot).positions["w2"].reason.sentence == (
        "Team Research holds 2 of the 2 devices allowed; this job needs 1."
    )


def test_a_job_behind_its_quota_starts_when_its_teams_devices_come_back():
    shares = {1: TeamShare("Research", guaranteed=2, borrowable=0)}
    snapshot = pool(
        node("a", 4, held=2), running=[running(1, {"a": 2}, 500)], waiting=waiting(2, 1), shares=shares
    )
    assert queued_as(snapshot, "w0") == ("QUOTA", 500)
    assert queued_as(snapshot, "w1") == ("QUOTA", 500 + 3600)


def test_a_budget_covers_whole_time_limits_of_all_that_runs():
    shares = {1: TeamShare("Research", budgets={"device_s": MonthlyBudget(10_000, 10_000)})}
    runs = running(1, {"a": 1}, committed_device_s=4000)
    snapshot = pool(node("a", 4, held=1), running=[runs], waiting=waiting(1, 1), shares=shares)
    assert set(placed(snapshot)) == {"w0"}
    assert queued_as(snapshot, "w1") == ("BUDGET", None)


def test_a_job_behind_a_budget_starts_with_the_next_month_before_those_behind_it():
    shares = {1: TeamShare("Research", budgets={"device_s": MonthlyBudget(3600, 0)}), 2: TeamShare("Others")}
    month = {"month_ends_at": NOW + 500}
    runs = running(1, {"a": 1}, 1000, team=2)
    mine, theirs = waiting(1)[0], waiting(1, team=2)[0]
    theirs = replace(theirs, job="o", since=mine.since + 1)
    snapshot = pool(node("a", 1, held=1), running=[runs], waiting=[mine, theirs], shares=shares, **month)
    assert queued_as(snapshot, "w0") == ("BUDGET", 1000)
    assert queued_as(snapshot, "o")[1] == 1000 + 3600


def test_a_job_that_needs_more_than_a_whole_month_has_no_expected_start():
    shares = {1: TeamShare("Research", budgets={"device_s": MonthlyBudget(3599, 0)})}
    snapshot = pool(node("a", 1), waiting=waiting(1), shares=shares, month_ends_at=NOW + 500)
    assert queued_as(snapshot, "w0") == ("BUDGET", None)
    assert "more than a whole month's budget" in decide(snapshot).positions["w0"].unknown_start


def test_jobs_that_run_into_the_next_month_use_its_budget():
    shares = {1: TeamShare("Research", budgets={"device_s": MonthlyBudget(4000, 0)})}
    runs = running(1, {"a": 1}, 1000, committed_device_s=1000)
    snapshot = pool(
        node("a", 2, held=1), running=[runs], waiting=waiting(1), shares=shares, month_ends_at=NOW + 500
    )
    assert queued_as(snapshot, "w0") == ("BUDGET", None)


@pytest.mark.parametrize(
    ("kind", "budget", "text"),
    [
        (
            "device_s",
            MonthlyBudget(36_000, 1800),
            "has 0.5 device-hours of this month's budget left, besides",
        ),
        (
            "money",
            MonthlyBudget(10, 0.5),
            "has 0.50 EUR of this month's budget left, besides what its running jobs may use; this job",
        ),
        ("j", MonthlyBudget(3.6e6, -1.0), "has used up this month's energy budget of 1 kWh."),
    ],
)
def test_the_reason_names_the_budget_that_is_short(kind, budget, text):
    shares = {1: TeamShare("Research", budgets={kind: budget})}
    snapshot = pool(
        node("a", 1), waiting=waiting(1), shares=shares, price_per_device_s=1 / 3600, currency="EUR"
    )
    queue_position = decide(snapshot).positions["w0"]
    assert text in queue_position.reason.sentence
    assert queue_position.reason.values["budget"] == kind


def test_an_energy_budget_that_is_not_used_up_lets_a_job_in():
    shares = {1: TeamShare("Research", budgets={"j": MonthlyBudget(3.6e6, 1.0)})}
    assert set(placed(pool(node("a", 1), waiting=waiting(1), shares=shares))) == {"w0"}
