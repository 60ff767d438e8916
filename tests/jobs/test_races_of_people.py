"""People who press at the same moment as somebody else, or as the machine: one wins, and one event says so."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import pytest

from jobs.lifecycle.ending import end
from jobs.lifecycle.preemption import ask_back
from jobs.lifecycle.transitions import move_attempt, move_job
from jobs.models import Attempt, Event, Job, Lease, NodeEvent
from jobs.nodes import admin
from jobs.queue import job_actions
from jobs.queue.ordering import MoveTarget, reorder
from jobs.scheduler import loop
from jobs.states.jobs import AttemptState, Cause, JobState, StateError
from tests.jobs.stage import assign
from tests.jobs.test_races import assert_sound, at_once

pytestmark = pytest.mark.django_db(transaction=True)

ROUNDS = 5
FINAL_EVENTS = ("job.succeeded", "job.failed", "job.cancelled")


def tried(wish: Callable[..., Job], job: Job, actor: str) -> Callable[[], bool]:
    """The wish as a body for `at_once`: whether it was granted."""

    def body() -> bool:
        try:
            wish(Job.objects.get(id=job.id), actor=actor)
        except StateError:
            return False
        return True

    return body


def running(job: Job) -> Attempt:
    """The job's next attempt, as if its ranks were stepping."""
    attempt = assign(job)
    for state in (AttemptState.STARTING, AttemptState.RUNNING):
        assert move_attempt(attempt.id, state, actor="agent")
        assert move_job(job.id, JobState(state), actor="agent", attempt=attempt.number)
    return attempt


def kinds(job: Job) -> list[str]:
    return list(Event.objects.filter(job=job).values_list("kind", flat=True))


def test_two_cancels_of_a_waiting_job_are_one(make_job):
    for _ in range(ROUNDS):
        job = make_job(devices=1)
        assert any(at_once(tried(job_actions.cancel, job, "olga"), tried(job_actions.cancel, job, "tom")))
        assert Job.objects.get(id=job.id).state == JobState.CANCELLED
        assert kinds(job).count("job.cancelled") == 1


def test_two_cancels_of_an_assigned_job_take_its_attempt_back_once(make_job):
    for _ in range(ROUNDS):
        job = make_job(devices=1)
        assign(job)
        assert any(at_once(tried(job_actions.cancel, job, "olga"), tried(job_actions.cancel, job, "tom")))
        assert Job.objects.get(id=job.id).state == JobState.CANCELLED
        assert kinds(job).count("job.cancelled") == kinds(job).count("attempt.stopped") == 1
        assert not Lease.objects.filter(is_active=True).exists()


def test_two_cancels_of_a_running_job_are_one_wish(make_job):
    for _ in range(ROUNDS):
        job = make_job(devices=1)
        attempt = running(job)
        assert at_once(tried(job_actions.cancel, job, "olga"), tried(job_actions.cancel, job, "tom")) == [
            True,
            True,
        ]
        assert kinds(job).count("job.stopping") == 1
        end(attempt, AttemptState.STOPPED, "stopped on request", Cause.STOPPED)
        assert Job.objects.get(id=job.id).state == JobState.CANCELLED


def test_two_cancels_of_a_job_that_is_asked_back_are_one_wish(make_job):
    for _ in range(ROUNDS):
        job = make_job(devices=1)
        attempt = running(job)
        assert ask_back(attempt.id, actor="scheduler", reason="Preempted")
        assert at_once(tried(job_actions.cancel, job, "olga"), tried(job_actions.cancel, job, "tom")) == [
            True,
            True,
        ]
        assert kinds(job).count("job.stopping") == 2  # asked back, and cancelled once
        end(Attempt.objects.get(id=attempt.id), AttemptState.STOPPED, "stopped on request", Cause.STOPPED)
        assert Job.objects.get(id=job.id).state == JobState.CANCELLED


def test_a_cancel_and_a_scheduler_leave_no_device_held(make_job):
    for _ in range(ROUNDS):
        job = make_job(devices=2)
        _, cancelled = at_once(
            lambda job=job: loop.schedule(job.pool), tried(job_actions.cancel, job, "olga")
        )
        assert cancelled
        assert Job.objects.get(id=job.id).state == JobState.CANCELLED
        assert not Lease.objects.filter(is_active=True).exists()
        assert_sound()


def test_a_cancel_and_the_end_of_the_ranks_make_one_end(make_job):
    for _ in range(ROUNDS):
        job = make_job(devices=1)
        attempt = running(job)
        _, cancelled = at_once(
            lambda attempt=attempt: end(attempt, AttemptState.SUCCEEDED, "done", Cause.DONE),
            tried(job_actions.cancel, job, "olga"),
        )
        assert Job.objects.get(id=job.id).state == JobState.SUCCEEDED or cancelled
        assert len([kind for kind in kinds(job) if kind in FINAL_EVENTS]) == 1
        assert kinds(job).count("attempt.succeeded") == 1
        assert_sound()


def test_two_retries_queue_the_job_once(make_job):
    for _ in range(ROUNDS):
        job = job_actions.cancel(make_job(devices=1), actor="olga")
        assert sorted(
            at_once(tried(job_actions.retry, job, "olga"), tried(job_actions.retry, job, "tom"))
        ) == [
            False,
            True,
        ]
        assert kinds(job).count("job.queued") == 2  # submitted, and retried once
        job_actions.cancel(job, actor="olga")


def test_a_retry_and_a_cancel_end_in_the_order_in_which_they_won(make_job):
    for _ in range(ROUNDS):
        job = job_actions.cancel(make_job(devices=1), actor="olga")
        retried, cancelled = at_once(
            tried(job_actions.retry, job, "olga"), tried(job_actions.cancel, job, "tom")
        )
        assert retried
        expected = JobState.CANCELLED if cancelled else JobState.QUEUED
        assert Job.objects.get(id=job.id).state == expected
        assert kinds(job)[-1] == f"job.{expected}"
        if not cancelled:
            job_actions.cancel(job, actor="olga")


def test_a_retry_against_the_last_word_of_the_attempt_before_changes_nothing(make_job):
    """The agent may tell late how the earlier attempt ended: its number is not the current one any more."""
    for _ in range(ROUNDS):
        job = make_job(devices=1)
        old = running(job)
        Attempt.objects.filter(id=old.id).update(state=AttemptState.RUNNING)
        Job.objects.filter(id=job.id).update(state=JobState.FAILED)
        assert job_actions.retry(job, actor="olga").state == JobState.QUEUED
        at_once(
            lambda old=old: end(old, AttemptState.FAILED, "late", Cause.WORKLOAD),
            lambda job=job: loop.schedule(job.pool),
        )
        assert Job.objects.get(id=job.id).state in (JobState.QUEUED, JobState.SCHEDULED)
        assert_sound()
        job_actions.cancel(job, actor="olga")


def granted(wish: Callable[[], object]) -> Callable[[], bool]:
    """The wish as a body for `at_once`: whether the state allowed it."""

    def body() -> bool:
        try:
            wish()
        except StateError:
            return False
        return True

    return body


def test_many_moves_at_once_lose_and_double_no_place(make_job):
    loop.schedule(make_job(devices=2).pool)
    waiting = [make_job(devices=2, name=f"job {n}") for n in range(6)]
    places = sorted(job.queue_key for job in waiting)
    moves = list(zip(waiting, 3 * [MoveTarget.FRONT, MoveTarget.BACK], strict=True))
    for _ in range(ROUNDS):
        at_once(*[granted(partial(reorder, job, "tom", where)) for job, where in moves])
        now = Job.objects.filter(id__in=[job.id for job in waiting]).values_list("queue_key", flat=True)
        assert sorted(now) == places


def test_of_a_move_and_a_cancel_the_cancelled_job_keeps_no_place(make_job):
    loop.schedule(make_job(devices=2).pool)
    for _ in range(ROUNDS):
        first, second = (make_job(devices=2) for _ in range(2))
        loop.schedule(first.pool)
        at_once(
            granted(partial(reorder, second, "tom", MoveTarget.FRONT)),
            tried(job_actions.cancel, first, "lena"),
        )
        cancelled = Job.objects.get(id=first.id)
        assert (cancelled.state, cancelled.position) == (JobState.CANCELLED, None)
        job_actions.cancel(second, actor="lena")


def test_of_two_admins_who_drain_one_node_one_does(make_node):
    for round_ in range(ROUNDS):
        node = make_node(f"r{round_}")
        drains = [granted(partial(admin.drain, node, actor, "BIOS", "finish")) for actor in ("ada", "tom")]
        assert sorted(at_once(*drains)) == [False, True]
        assert NodeEvent.objects.filter(node=node, kind="node.draining").count() == 1
