"""Quotas and budgets of a team in a pool hold under concurrent requests."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.db import connection
from django.db.models import Sum
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from jobs.lifecycle.transitions import move_attempt
from jobs.models import Attempt, Charge, Device, Job, Lease, Pool, Share
from jobs.pools import pool_settings
from jobs.queue import job_actions
from jobs.scheduler import loop, snapshot
from jobs.states.jobs import AttemptState, JobState
from tests.jobs.test_races import run_at_once

pytestmark = pytest.mark.django_db


@pytest.fixture
def wide(make_node):
    return make_node("wide", devices=16)


def share(team, **fields) -> Share:
    return Share.objects.create(team=team, pool=Pool.objects.get(name="default"), **fields)


def schedule() -> int:
    return loop.schedule(Pool.objects.get(name="default"))


def held(team) -> int:
    return Lease.objects.filter(is_active=True, attempt__job__team=team).count()


def test_a_team_holds_at_most_its_guaranteed_and_borrowable_devices(make_job, wide, team):
    share(team, guaranteed=2, borrowable=1)
    jobs = [make_job(devices=1) for _ in range(5)]
    schedule()
    assert held(team) == 3
    waiting = Job.objects.filter(state=JobState.QUEUED)
    assert {job.waiting_for["code"] for job in waiting} == {"QUOTA"}
    assert waiting[0].waiting_reason == "Team Research holds 3 of the 3 devices allowed; this job needs 1."
    move_attempt(jobs[0].attempts.get().id, AttemptState.FAILED, actor="test")
    assert schedule() == 1 and held(team) == 3


def test_the_quota_of_one_team_does_not_delay_another(make_job, make_spec, wide, team, other_team, stranger):
    share(team, borrowable=0)
    make_job(devices=1)
    other = job_actions.submit(spec=make_spec(devices=1), team=other_team, owner=stranger)
    schedule()
    assert (held(team), held(other_team)) == (0, 1)
    assert Job.objects.get(id=other.id).state == JobState.SCHEDULED


@pytest.mark.django_db(transaction=True)
def test_concurrent_schedulers_and_submits_never_exceed_the_quota(make_job, make_node, team):
    make_node("wide", devices=16)
    share(team, guaranteed=3, borrowable=2)
    pool = Pool.objects.get(name="default")

    def submit_and_schedule() -> None:
        for _ in range(4):
            make_job(devices=2)
            loop.schedule(pool)
            assert held(team) <= 5

    run_at_once(*[submit_and_schedule] * 6)
    assert held(team) == 4
    assert Job.objects.filter(state=JobState.QUEUED).count() == 24 - 2


@pytest.mark.django_db(transaction=True)
def test_concurrent_schedulers_never_overspend_a_budget_of_device_time(make_job, make_node, team):
    make_node("wide", devices=16)
    for _ in range(12):
        make_job("budget.time_limit_s=940", devices=1)
    share(team, monthly_budget_device_s=5 * 1000)
    pool = Pool.objects.get(name="default")
    run_at_once(*[lambda: loop.schedule(pool)] * 6)
    assert held(team) == 5
    assert Job.objects.filter(waiting_for__code="BUDGET").count() == 7


@pytest.mark.django_db(transaction=True)
def test_concurrent_schedulers_never_overspend_a_budget_of_money(make_job, make_node, team, pool):
    make_node("wide", devices=16)
    pool_settings.change(pool, "ann", {"price_per_device_hour": "3.6"})
    for _ in range(12):
        make_job("budget.time_limit_s=940", devices=1)  # with the margin 1000 s, so 1 EUR each
    share(team, monthly_budget_money=5.5)
    run_at_once(*[lambda: loop.schedule(Pool.objects.get())] * 6)
    assert held(team) == 5
    waiting = Job.objects.filter(state=JobState.QUEUED)
    assert {job.waiting_for["values"]["budget"] for job in waiting} == {"money"}
    assert "0.50 EUR of this month's budget left" in waiting[0].waiting_reason


def test_measured_energy_of_running_attempts_counts_against_the_budget(make_job, make_node, wide, team):
    share(team, monthly_budget_j=1000)
    make_job(devices=1)
    assert schedule() == 1
    lease = Lease.objects.get()
    later = timezone.now() + timedelta(seconds=1)
    Device.objects.filter(id=lease.device_id).update(latest={"metrics": {"energy_j": 999.0}}, latest_at=later)
    make_job(devices=1)
    assert schedule() == 1
    Device.objects.filter(id=lease.device_id).update(latest={"metrics": {"energy_j": 1000.0}})
    job = make_job(devices=1)
    assert schedule() == 0
    job.refresh_from_db()
    assert job.waiting_for["values"]["budget"] == "j"
    assert job.expected_start_at.day == 1  # of the next month


def test_budgets_need_a_constant_number_of_queries(make_job, wide, team):
    share(team, monthly_budget_j=1e9, monthly_budget_money=1e9)
    make_job(devices=1)
    schedule()

    def queries() -> int:
        with CaptureQueriesContext(connection) as seen:
            snapshot.take_snapshot(Pool.objects.get())
        return len(seen)

    few = queries()
    for _ in range(4):
        make_job(devices=1)
    schedule()
    assert queries() == few


class TestCharges:
    def end(self, job: Job, to: str, began: timedelta, saved: timedelta | None = None) -> Attempt:
        at = timezone.now()
        Attempt.objects.filter(job=job).update(
            assigned_at=at - began, checkpoint_at=None if saved is None else at - saved
        )
        attempt = job.attempts.get()
        assert move_attempt(attempt.id, to, actor="test")
        return attempt

    def sums(self, attempt: Attempt) -> tuple[float, float]:
        found = Charge.objects.filter(attempt=attempt).aggregate(
            all=Sum("device_s"), wasted=Sum("wasted_device_s")
        )
        return round(found["all"]), round(found["wasted"])

    @pytest.mark.parametrize(
        ("to", "saved_s", "wasted"),
        [
            (AttemptState.SUCCEEDED, None, 0),
            (AttemptState.FAILED, 30, 60),
            (AttemptState.STOPPED, 30, 60),
            (AttemptState.LOST, None, 200),
        ],
    )
    def test_devices_are_charged_from_lease_to_release_and_lost_work_is_waste(
        self, make_job, to, saved_s, wasted
    ):
        job = make_job(devices=2)
        schedule()
        if to == AttemptState.SUCCEEDED:
            Attempt.objects.update(state=AttemptState.RUNNING)
        saved = None if saved_s is None else timedelta(seconds=saved_s)
        assert self.sums(self.end(job, to, timedelta(seconds=100), saved)) == (200, wasted)

    def test_an_attempt_across_months_is_split(self, make_job, team):
        job = make_job(devices=1)
        schedule()
        attempt = self.end(job, AttemptState.FAILED, timedelta(days=40))
        months = list(
            Charge.objects.filter(attempt=attempt)
            .order_by("month")
            .values_list("month", flat=True)
            .distinct()
        )
        assert len(months) in (2, 3) and months == sorted(set(months))
        assert self.sums(attempt)[0] == 40 * 86400

    def test_use_decays_by_half_life_and_sets_the_order_of_teams(
        self, make_job, make_spec, team, other_team, stranger, settings
    ):
        settings.SHARE_HALF_LIFE_S = 1000
        at = timezone.now()
        share(team, used_device_s=4000, used_at=at - timedelta(seconds=2000))
        share(other_team, used_device_s=1500, used_at=at)
        mine = make_job(devices=2)
        job_actions.submit(spec=make_spec(devices=2), team=other_team, owner=stranger)
        schedule()
        assert Job.objects.get(id=mine.id).state == JobState.SCHEDULED

    def test_a_monthly_budget_starts_again_each_month(self, make_job, team):
        share(team, monthly_budget_device_s=10_000, month="2001-01", month_device_s=10_000)
        make_job(devices=1)
        assert schedule() == 1
