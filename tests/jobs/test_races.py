"""Races between schedulers, agents and users over devices and jobs."""

from __future__ import annotations

import random
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest
from django.db import IntegrityError, connection, transaction

from jobs.lifecycle.transitions import move_attempt, move_job
from jobs.models import Attempt, Event, Job, Lease, Pool
from jobs.people import accounts
from jobs.queue import job_actions
from jobs.scheduler import loop
from jobs.scheduler.dispatch import Dispatcher
from jobs.states.jobs import ATTEMPT_LIVE, FINAL, AttemptState, JobState, StateError

pytestmark = pytest.mark.django_db(transaction=True)


def run_at_once(*bodies: Callable[[], object]) -> list[object]:
    """Run all functions in threads that start together. Returns their results, or raises the first error."""
    gate = threading.Barrier(len(bodies))

    def run(body: Callable[[], object]) -> object:
        gate.wait()
        try:
            return body()
        finally:
            connection.close()

    with ThreadPoolExecutor(len(bodies)) as threads:
        return [future.result() for future in [threads.submit(run, body) for body in bodies]]


def assert_consistent() -> None:
    """Check the invariants of leases and attempts."""
    held = list(Lease.objects.filter(is_active=True).values_list("device_id", flat=True))
    assert len(held) == len(set(held)), "a device is leased twice"
    for attempt in Attempt.objects.filter(state__in=ATTEMPT_LIVE).select_related("job"):
        assert attempt.leases.filter(is_active=True).count() == attempt.job.num_devices, "an incomplete gang"
        assert attempt.number == attempt.job.attempt_number, "an old attempt is live"
    assert not Lease.objects.filter(is_active=True).exclude(attempt__state__in=ATTEMPT_LIVE).exists()


def test_two_schedulers_place_each_job_once(make_job, make_node):
    make_node("b", devices=3)
    for devices in (1, 2, 1, 2, 1):
        make_job(devices=devices)
    pool = Pool.objects.get()
    placed = run_at_once(*[lambda: loop.schedule(pool)] * 4)
    assert_consistent()
    assert sum(placed) == Attempt.objects.count() == Job.objects.filter(state=JobState.SCHEDULED).count()
    assert Event.objects.filter(kind="job.scheduled").count() == Attempt.objects.count()
    # The fourth job needs two devices of one node; the fifth takes the one that it will not need.
    assert Lease.objects.filter(is_active=True).count() == 5


def test_many_schedulers_endings_and_cancels_leave_a_consistent_state(make_job, make_node):
    make_node("b", devices=3)
    jobs = [make_job(devices=1 + n % 3) for n in range(12)]
    pool = Pool.objects.get()

    def schedule() -> None:
        for _ in range(25):
            loop.schedule(pool)

    def finish(seed: int) -> None:
        pick = random.Random(seed)
        for _ in range(40):
            live = list(Attempt.objects.filter(state__in=ATTEMPT_LIVE))
            if live:
                attempt = pick.choice(live)
                if move_attempt(attempt.id, AttemptState.FAILED, actor="storm"):
                    move_job(attempt.job_id, pick.choice([JobState.QUEUED, JobState.FAILED]), actor="storm",
                             attempt=attempt.number)  # fmt: skip

    def cancel() -> None:
        for job in jobs[::2]:
            try:
                job_actions.cancel(job, actor="storm")
            except StateError:
                continue

    run_at_once(schedule, schedule, lambda: finish(1), lambda: finish(2), cancel)
    assert_consistent()
    for job in Job.objects.filter(state__in=FINAL):
        finals = job.events.filter(kind__in=[f"job.{state}" for state in FINAL]).count()
        assert finals == 1, "one end, one event"


def test_a_cancel_and_the_claim_of_the_agent_cannot_both_win(make_job):
    for _ in range(10):
        job = make_job(devices=1)
        loop.schedule(job.pool)
        attempt = job.attempts.get()

        def take(job: Job = job, attempt: Attempt = attempt) -> bool:
            taken = move_attempt(attempt.id, AttemptState.STARTING, actor="agent")
            return taken and move_job(job.id, JobState.STARTING, actor="agent", attempt=1)

        taken, _ = run_at_once(
            take, lambda job=job: job_actions.cancel(Job.objects.get(id=job.id), actor="olga")
        )
        job.refresh_from_db()
        attempt.refresh_from_db()
        if attempt.state == AttemptState.STOPPED:
            assert job.state == JobState.CANCELLED and not taken
        else:
            assert attempt.state == AttemptState.STARTING and job.wanted_state == "cancelled"
        move_attempt(attempt.id, AttemptState.STOPPED, actor="test")


def test_two_dispatchers_send_one_message(make_job):
    loop.schedule(make_job().pool)
    rung: list[int] = []
    first, second = (Dispatcher(publish=lambda node, attempt: rung.append(attempt)) for _ in range(2))
    run_at_once(first.ring_all, second.ring_all)
    assert rung == [Attempt.objects.get().id]


def test_a_login_link_used_twice_at_once_logs_in_once(owner):
    token = accounts.make_login_link(owner)
    assert sorted(
        user is not None for user in run_at_once(*[lambda: accounts.redeem_login_link(token)] * 2)
    ) == [
        False,
        True,
    ]


def test_the_index_refuses_a_second_active_lease_whatever_the_code_does(make_job):
    loop.schedule(make_job().pool)
    attempt = Attempt.objects.get()
    with pytest.raises(IntegrityError), transaction.atomic():
        Lease.objects.create(attempt=attempt, device_id="a-0", rank=7)
