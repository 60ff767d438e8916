"""Who goes on at a rung, and why the others end."""

from __future__ import annotations

import pytest

from jobs.lifecycle.ending import end_attempt
from jobs.models import Attempt, Job
from jobs.queue import job_actions
from jobs.states.jobs import AttemptState, Cause, JobState
from jobs.sweeps import advance
from tests.jobs.sweeps.swept import job_of, now, numbers, train
from tests.jobs.test_concurrent_actions import running

pytestmark = pytest.mark.django_db


def test_jobs_halt_at_the_rung_and_give_their_devices_back(halving):
    train(halving, 1, 3.0)
    job = job_of(halving, 1)
    assert (job.state, job.is_halted, job.reason) == (
        JobState.PAUSED, True, "Reached step 50, its halt step.",
    )  # fmt: skip
    advance.advance_all()
    assert now(halving).decisions == [], "the rung waits for the others"


def test_the_better_half_goes_on_in_the_same_jobs_and_the_others_end_with_the_reason(halving):
    for number, loss in enumerate((3.0, 1.0, 4.0, 2.0), start=1):
        train(halving, number, loss)
    advance.advance_all()
    advance.advance_all()
    assert numbers(halving, *advance.UNDER_WAY) == [2, 4]
    assert [job_of(halving, number).halt_at_step for number in (2, 4)] == [100, 100]
    (decision,) = now(halving).decisions
    assert (decision["steps"], decision["members"], decision["promoted"]) == (50, [1, 2, 3, 4], [2, 4])
    stopped = job_of(halving, 3)
    assert stopped.state == JobState.CANCELLED
    assert stopped.reason == "Stopped at step 50: training loss 4 is place 4 of 4, and 2 went on."
    assert stopped.events.last().actor == f"sweep:{halving.id}"
    said = job_of(halving, 2).events.last()
    assert (said.kind, said.text) == ("job.queued", "Promoted to rung 2 of its sweep: on to step 100.")


def test_it_goes_on_to_the_last_rung_where_the_best_is_named(halving):
    for number, loss in enumerate((3.0, 1.0, 4.0, 2.0), start=1):
        train(halving, number, loss)
    advance.advance_all()
    advance.advance_all()
    train(halving, 2, 0.9)
    train(halving, 4, 0.8)
    advance.advance_all()
    advance.advance_all()
    assert numbers(halving, *advance.UNDER_WAY) == [4] and job_of(halving, 4).halt_at_step is None
    assert now(halving).decisions[1]["promoted"] == [4]
    train(halving, 4, 0.5)
    advance.advance_all()
    assert (now(halving).state, now(halving).reason) == ("finished", "Best: #4 with training loss 0.5.")
    assert job_of(halving, 4).attempt_number == 3, "one attempt a rung"


def test_those_promoted_wait_for_a_place_too(submit):
    sweep = submit(strategy="halving", count=4, first_steps=100, eta=2, parallel=1)
    for number in (1, 2, 3, 4):
        train(sweep, number, float(number))
        advance.advance_all()
    advance.advance_all()
    assert numbers(sweep, *advance.UNDER_WAY) == [1] and numbers(sweep, JobState.PAUSED) == [2]


def test_a_failed_job_is_not_waited_for_and_not_promoted(halving, settings):
    settings.RETRY_LIMIT = 0
    train(halving, 1, 0.1, AttemptState.FAILED, Cause.WORKLOAD)
    for number in (2, 3, 4):
        train(halving, number, float(number))
    advance.advance_all()
    assert now(halving).decisions[0]["promoted"] == [2, 3]


def test_a_value_that_is_no_number_never_goes_on(halving):
    for number, loss in enumerate((float("nan"), 5.0, 6.0, 7.0), start=1):
        train(halving, number, loss)
    advance.advance_all()
    assert now(halving).decisions[0]["promoted"] == [2, 3]
    assert job_of(halving, 1).reason == "Stopped at step 50: it has no training loss to compare."


def test_where_nobody_comes_to_a_rung_it_ends(halving):
    for number in (1, 2, 3, 4):
        job_actions.cancel(job_of(halving, number), actor="tom")
    advance.advance_all()
    assert (now(halving).state, now(halving).reason) == ("finished", "No run came to a training loss.")


def test_a_person_may_let_a_stopped_run_go_on_to_its_end(halving):
    train(halving, 3, 9.0)
    job_actions.resume(job_of(halving, 3), actor="tom")
    assert job_of(halving, 3).halt_at_step is None
    for number in (1, 2, 4):
        train(halving, number, float(number))
    advance.advance_all()
    assert now(halving).decisions[0]["promoted"] == [1, 2]
    assert job_of(halving, 3).state in advance.UNDER_WAY, "it is left alone"


def test_a_job_that_was_paused_by_a_person_holds_its_rung_up_until_it_is_resumed(halving):
    job_actions.pause(job_of(halving, 1), actor="tom")
    for number in (2, 3, 4):
        train(halving, number, float(number))
    advance.advance_all()
    assert now(halving).decisions == []
    job_actions.resume(job_of(halving, 1), actor="tom")
    assert job_of(halving, 1).halt_at_step == 50
    train(halving, 1, 1.0)
    advance.advance_all()
    assert now(halving).decisions[0]["promoted"] == [1, 2]


def test_a_job_that_is_retried_after_its_rung_was_decided_ends_when_it_comes_there(halving, settings):
    settings.RETRY_LIMIT = 0
    train(halving, 1, 0.1, AttemptState.FAILED, Cause.WORKLOAD)
    for number in (2, 3, 4):
        train(halving, number, float(number))
    advance.advance_all()
    job_actions.retry(job_of(halving, 1), actor="tom")
    train(halving, 1, 0.1)
    advance.advance_all()
    assert job_of(halving, 1).reason == "The rung that it came to has been decided without it."


def test_a_preemption_at_the_rung_itself_is_a_halt(halving):
    job = job_of(halving, 1)
    attempt = running(job)
    Attempt.objects.filter(id=attempt.id).update(yield_reason="Preempted by job x")
    Job.objects.filter(id=job.id).update(step=50)
    end_attempt(Attempt.objects.get(id=attempt.id), AttemptState.STOPPED, "stopped", Cause.STOPPED)
    assert job_of(halving, 1).is_halted
