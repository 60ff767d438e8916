"""Agents of two nodes, the scheduler and people at the same moment."""

from __future__ import annotations

import pytest

from jobs.models import Event, Job, Lease
from jobs.queue import job_actions
from jobs.scheduler import gangs
from jobs.states.jobs import AttemptNodeState, AttemptState, JobState
from tests.jobs.fake_supervisor import report
from tests.jobs.placed_jobs import attempt_of, states
from tests.jobs.scheduler.gangs.two_nodes import parts
from tests.jobs.test_races import at_once

pytestmark = pytest.mark.django_db(transaction=True)


def count(job: Job, kind: str) -> int:
    return Event.objects.filter(job=job, kind=kind).count()


def test_nodes_that_end_at_once_end_the_attempt_once(played, job):
    played.run()
    played.all_report("succeeded", "done")
    at_once(*(agent.tick for agent in played.agents.values()))
    played.tick()
    assert states(job) == (JobState.SUCCEEDED, AttemptState.SUCCEEDED)
    assert parts(job) == [AttemptNodeState.SUCCEEDED] * 2
    ends = ("attempt.succeeded", "job.succeeded", "member.succeeded")
    assert [count(job, kind) for kind in ends] == [1, 1, 2]
    assert not Lease.objects.filter(is_active=True).exists()


def test_nodes_that_fail_at_once_are_blamed_once(played, job):
    played.run()
    for directory in played.started.values():
        report(directory, "failed", "rank 0 ended with exit code 1", cause="workload")
    at_once(*(agent.tick for agent in played.agents.values()), gangs.reconcile)
    played.tick()
    assert attempt_of(job).state == AttemptState.FAILED
    assert count(job, "attempt.failed") == 1 and count(job, "note.warning") == 1


def test_a_break_up_and_the_start_cannot_both_win(played, job):
    played.tick()
    attempt = attempt_of(job)
    attempt.attempt_nodes.update(state=AttemptNodeState.PREPARED)
    only_from = (AttemptState.ASSIGNED,)
    won = at_once(
        lambda: gangs.commit(attempt, {}, {}),
        lambda: gangs.break_up(attempt, "too late", "scheduler", only_from=only_from),
    )
    assert sorted(won) == [False, True]
    attempt.refresh_from_db()
    assert (attempt.state == AttemptState.STARTING) is won[0]
    assert bool(attempt.broken_because) is won[1]


def test_a_cancel_and_the_start_of_a_gang_end_in_one_cancelled_job(played, job):
    played.arm("a")
    report(played.started["b"], "armed")
    at_once(*(agent.tick for agent in played.agents.values()), lambda: job_actions.cancel(job, actor="olga"))
    played.tick()
    assert set(played.controls().values()) in ({"stop"}, {"abort"}), "both nodes are told, and the same"
    played.all_report("stopped", "stopped on request")
    at_once(*(agent.tick for agent in played.agents.values()))
    played.tick()
    assert states(job) == (JobState.CANCELLED, AttemptState.STOPPED)
    assert count(job, "job.cancelled") == count(job, "attempt.stopped") == 1
    assert not Lease.objects.filter(is_active=True).exists()
