"""Races between the agents of two nodes, the scheduler and users."""

from __future__ import annotations

import pytest

from jobs.models import Event, Job, Lease
from jobs.queue import job_actions
from jobs.scheduler import gangs
from jobs.states.jobs import AttemptNodeState, AttemptState, JobState
from tests.jobs.fake_supervisor import write_state
from tests.jobs.placed_jobs import newest_attempt, states
from tests.jobs.scheduler.gangs.two_nodes import node_states
from tests.jobs.test_races import run_at_once

pytestmark = pytest.mark.django_db(transaction=True)


def count(job: Job, kind: str) -> int:
    return Event.objects.filter(job=job, kind=kind).count()


def test_nodes_that_end_at_once_end_the_attempt_once(two_nodes, job):
    two_nodes.run()
    two_nodes.all_report("succeeded", "done")
    run_at_once(*(agent.tick for agent in two_nodes.agents.values()))
    two_nodes.tick()
    assert states(job) == (JobState.SUCCEEDED, AttemptState.SUCCEEDED)
    assert node_states(job) == [AttemptNodeState.SUCCEEDED] * 2
    ends = ("attempt.succeeded", "job.succeeded", "member.succeeded")
    assert [count(job, kind) for kind in ends] == [1, 1, 2]
    assert not Lease.objects.filter(is_active=True).exists()


def test_nodes_that_fail_at_once_are_recorded_once(two_nodes, job):
    two_nodes.run()
    for directory in two_nodes.started.values():
        write_state(directory, "failed", "rank 0 ended with exit code 1", cause="workload")
    run_at_once(*(agent.tick for agent in two_nodes.agents.values()), gangs.reconcile)
    two_nodes.tick()
    assert newest_attempt(job).state == AttemptState.FAILED
    assert count(job, "attempt.failed") == 1 and count(job, "note.warning") == 1


def test_a_break_up_and_the_start_cannot_both_win(two_nodes, job):
    two_nodes.tick()
    attempt = newest_attempt(job)
    attempt.attempt_nodes.update(state=AttemptNodeState.PREPARED)
    only_from = (AttemptState.ASSIGNED,)
    won = run_at_once(
        lambda: gangs.commit(attempt, {}, {}),
        lambda: gangs.break_up(attempt, "too late", "scheduler", only_from=only_from),
    )
    assert sorted(won) == [False, True]
    attempt.refresh_from_db()
    assert (attempt.state == AttemptState.STARTING) is won[0]
    assert bool(attempt.broken_because) is won[1]


def test_a_cancel_and_the_start_of_a_gang_end_in_one_cancelled_job(two_nodes, job):
    two_nodes.prepare("a")
    write_state(two_nodes.started["b"], "armed")
    run_at_once(
        *(agent.tick for agent in two_nodes.agents.values()), lambda: job_actions.cancel(job, actor="olga")
    )
    two_nodes.tick()
    assert set(two_nodes.controls().values()) in ({"stop"}, {"abort"}), (
        "both nodes get the same control value"
    )
    two_nodes.all_report("stopped", "stopped on request")
    run_at_once(*(agent.tick for agent in two_nodes.agents.values()))
    two_nodes.tick()
    assert states(job) == (JobState.CANCELLED, AttemptState.STOPPED)
    assert count(job, "job.cancelled") == count(job, "attempt.stopped") == 1
    assert not Lease.objects.filter(is_active=True).exists()
