"""Concurrent actions of users, scheduler and agent: one wins, with one event."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import pytest

from jobs.lifecycle.ending import end_attempt
from jobs.lifecycle.preemption import request_yield
from jobs.lifecycle.transitions import move_attempt, move_job
from jobs.models import Attempt, Event, Job, Lease, NodeEvent
from jobs.nodes import admin
from jobs.queue import job_actions
from jobs.queue.ordering import MoveTarget, reorder
from jobs.scheduler import loop
from jobs.states.jobs import AttemptState, Cause, JobState, StateError
from tests.jobs.placed_jobs import assign
from tests.jobs.test_races import assert_consistent, run_at_once

pytestmark = pytest.mark.django_db(transaction=True)

ROUNDS = 5
FINAL_EVENTS = ("job.succeeded", "job.failed", "job.cancelled")


def job_action(action: Callable[..., Job], job: Job, actor: str) -> Callable[[], bool]:
    """Return the action as a function that returns whether the job's state allowed it."""

    def body() -> bool:
        try:
            action(Job.objects.get(id=job.id), actor=actor)
        except StateError:
            return False
        return True

    return body


def running(job: Job) -> Attempt:
    """Return the job's next attempt, in the state of a running one."""
    attempt = assign(job)
    for state in (AttemptState.STARTING, AttemptState.RUNNING):
        assert move_attempt(attempt.id, state, actor="agent")
        assert move_job(job.id, JobState(state), actor="agent", attempt=attempt.number)
    return attempt


def kinds(job: Job) -> list[str]:
    return list(Event.objects.filter(job=job).values_list("kind", flat=True))


def test_two_cancels_of_a_waiting_job_count_once(make_job):
    for _ in range(ROUNDS):
        job = make_job(devices=1)
        assert any(
            run_at_once(
                job_action(job_actions.cancel, job, "olga"), job_action(job_actions.cancel, job, "tom")
            )
        )
        assert Job.objects.get(id=job.id).state == JobState.CANCELLED
        assert kinds(job).count("job.cancelled") == 1


def test_two_cancels_of_an_assigned_job_stop_its_attempt_once(make_job):
    for _ in range(ROUNDS):
        job = make_job(devices=1)
        assign(job)
        assert any(
            run_at_once(
                job_action(job_actions.cancel, job, "olga"), job_action(job_actions.cancel, job, "tom")
            )
        )
        assert Job.objects.get(id=job.id).state == JobState.CANCELLED
        assert kinds(job).count("job.cancelled") == kinds(job).count("attempt.stopped") == 1
        assert not Lease.objects.filter(is_active=True).exists()


def test_two_cancels_of_a_running_job_count_once(make_job):
    for _ in range(ROUNDS):
        job = make_job(devices=1)
        attempt = running(job)
        assert run_at_once(
            job_action(job_actions.cancel, job, "olga"), job_action(job_actions.cancel, job, "tom")
        ) == [
            True,
            True,
        ]
        assert kinds(job).count("job.stopping") == 1
        end_attempt(attempt, AttemptState.STOPPED, "stopped on request", Cause.STOPPED)
        assert Job.objects.get(id=job.id).state == JobState.CANCELLED


def test_two_cancels_of_a_preempted_job_count_once(make_job):
    for _ in range(ROUNDS):
        job = make_job(devices=1)
        attempt = running(job)
        assert request_yield(attempt.id, actor="scheduler", reason="Preempted")
        assert run_at_once(
            job_action(job_actions.cancel, job, "olga"), job_action(job_actions.cancel, job, "tom")
        ) == [
            True,
            True,
        ]
        assert kinds(job).count("job.stopping") == 2  # one for the preemption, one for the cancel
        end_attempt(
            Attempt.objects.get(id=attempt.id), AttemptState.STOPPED, "stopped on request", Cause.STOPPED
        )
        assert Job.objects.get(id=job.id).state == JobState.CANCELLED


def test_a_cancel_and_a_scheduler_leave_no_device_held(make_job):
    for _ in range(ROUNDS):
        job = make_job(devices=2)
        _, cancelled = run_at_once(
            lambda job=job: loop.schedule(job.pool), job_action(job_actions.cancel, job, "olga")
        )
        assert cancelled
        assert Job.objects.get(id=job.id).state == JobState.CANCELLED
        assert not Lease.objects.filter(is_active=True).exists()
        assert_consistent()


def test_a_cancel_and_the_end_of_the_ranks_end_the_job_once(make_job):
    for _ in range(ROUNDS):
        job = make_job(devices=1)
        attempt = running(job)
        _, cancelled = run_at_once(
            lambda attempt=attempt: end_attempt(attempt, AttemptState.SUCCEEDED, "done", Cause.DONE),
            job_action(job_actions.cancel, job, "olga"),
        )
        assert Job.objects.get(id=job.id).state == JobState.SUCCEEDED or cancelled
        assert len([kind for kind in kinds(job) if kind in FINAL_EVENTS]) == 1
        assert kinds(job).count("attempt.succeeded") == 1
        assert_consistent()


def test_two_retries_queue_the_job_once(make_job):
    for _ in range(ROUNDS):
        job = job_actions.cancel(make_job(devices=1), actor="olga")
        assert sorted(
            run_at_once(job_action(job_actions.retry, job, "olga"), job_action(job_actions.retry, job, "tom"))
        ) == [
            False,
            True,
        ]
        assert kinds(job).count("job.queued") == 2  # one for the submission, one for the retry
        job_actions.cancel(job, actor="olga")


def test_a_retry_and_a_cancel_take_effect_in_order(make_job):
    for _ in range(ROUNDS):
        job = job_actions.cancel(make_job(devices=1), actor="olga")
        retried, cancelled = run_at_once(
            job_action(job_actions.retry, job, "olga"), job_action(job_actions.cancel, job, "tom")
        )
        assert retried
        expected = JobState.CANCELLED if cancelled else JobState.QUEUED
        assert Job.objects.get(id=job.id).state == expected
        assert kinds(job)[-1] == f"job.{expected}"
        if not cancelled:
            job_actions.cancel(job, actor="olga")


def test_a_late_end_of_the_earlier_attempt_does_not_undo_a_retry(make_job):
    """The number of the earlier attempt is not the current one any more."""
    for _ in range(ROUNDS):
        job = make_job(devices=1)
        old = running(job)
        Attempt.objects.filter(id=old.id).update(state=AttemptState.RUNNING)
        Job.objects.filter(id=job.id).update(state=JobState.FAILED)
        assert job_actions.retry(job, actor="olga").state == JobState.QUEUED
        run_at_once(
            lambda old=old: end_attempt(old, AttemptState.FAILED, "late", Cause.WORKLOAD),
            lambda job=job: loop.schedule(job.pool),
        )
        assert Job.objects.get(id=job.id).state in (JobState.QUEUED, JobState.SCHEDULED)
        assert_consistent()
        job_actions.cancel(job, actor="olga")


def is_allowed(action: Callable[[], object]) -> Callable[[], bool]:
    """Return the action as a function that returns whether the state allowed it."""

    def body() -> bool:
        try:
            action()
        except StateError:
            return False
        return True

    return body


def test_many_moves_at_once_lose_and_duplicate_no_position(make_job):
    loop.schedule(make_job(devices=2).pool)
    waiting = [make_job(devices=2, name=f"job {n}") for n in range(6)]
    places = sorted(job.queue_key for job in waiting)
    moves = list(zip(waiting, 3 * [MoveTarget.FRONT, MoveTarget.BACK], strict=True))
    for _ in range(ROUNDS):
        run_at_once(*[is_allowed(partial(reorder, job, "tom", where)) for job, where in moves])
        now = Job.objects.filter(id__in=[job.id for job in waiting]).values_list("queue_key", flat=True)
        assert sorted(now) == places


def test_a_job_cancelled_during_a_move_keeps_no_position(make_job):
    loop.schedule(make_job(devices=2).pool)
    for _ in range(ROUNDS):
        first, second = (make_job(devices=2) for _ in range(2))
        loop.schedule(first.pool)
        run_at_once(
            is_allowed(partial(reorder, second, "tom", MoveTarget.FRONT)),
            job_action(job_actions.cancel, first, "lena"),
        )
        cancelled = Job.objects.get(id=first.id)
        assert (cancelled.state, cancelled.position) == (JobState.CANCELLED, None)
        job_actions.cancel(second, actor="lena")


def test_two_admins_drain_a_node_only_once(make_node):
    for round_ in range(ROUNDS):
        node = make_node(f"r{round_}")
        drains = [is_allowed(partial(admin.drain, node, actor, "BIOS", "finish")) for actor in ("ada", "tom")]
        assert sorted(run_at_once(*drains)) == [False, True]
        assert NodeEvent.objects.filter(node=node, kind="node.draining").count() == 1
