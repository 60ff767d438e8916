"""Successive halving: which runs are promoted at a rung, and why the others end."""

from __future__ import annotations

import pytest

from jobs.lifecycle.ending import end_attempt
from jobs.models import Attempt, Job
from jobs.queue import job_actions
from jobs.states.jobs import AttemptState, Cause, JobState
from jobs.sweeps import advance
from tests.jobs.sweeps.helpers import job_of, now, numbers, train
from tests.jobs.test_concurrent_actions import running

pytestmark = pytest.mark.django_db


def test_jobs_halt_at_the_rung_and_release_their_devices(halving):
    train(halving, 1, 3.0)
    job = job_of(halving, 1)
    assert (job.state, job.is_halted, job.reason) == (
        JobState.PAUSED, True, "Reached step 50, its halt step.",
    )  # fmt: skip
    advance.advance_all()
    assert now(halving).decisions == [], "the rung waits for the others"


def test_the_better_half_continues_in_the_same_jobs_and_the_others_stop(halving):
    for number, loss in enumerate((3.0, 1.0, 4.0, 2.0), start=1):
        train(halving, number, loss)
    advance.advance_all()
    advance.advance_all()
    assert numbers(halving, *advance.IN_PROGRESS_STATES) == [2, 4]
    assert [job_of(halving, number).halt_at_step for number in (2, 4)] == [100, 100]
    (decision,) = now(halving).decisions
    assert (decision["steps"], decision["members"], decision["promoted"]) == (50, [1, 2, 3, 4], [2, 4])
    stopped = job_of(halving, 3)
    assert stopped.state == JobState.CANCELLED
    assert stopped.reason == "Stopped at step 50: training loss 4 ranks 4 of 4, and 2 continue."
    assert stopped.events.last().actor == f"sweep:{halving.id}"
    event = job_of(halving, 2).events.last()
    assert (event.kind, event.text) == (
        "job.queued",
        "Promoted to rung 2 of its sweep; continues to step 100.",
    )


def test_the_last_rung_names_the_best_run(halving):
    for number, loss in enumerate((3.0, 1.0, 4.0, 2.0), start=1):
        train(halving, number, loss)
    advance.advance_all()
    advance.advance_all()
    train(halving, 2, 0.9)
    train(halving, 4, 0.8)
    advance.advance_all()
    advance.advance_all()
    assert numbers(halving, *advance.IN_PROGRESS_STATES) == [4] and job_of(halving, 4).halt_at_step is None
    assert now(halving).decisions[1]["promoted"] == [4]
    train(halving, 4, 0.5)
    advance.advance_all()
    assert (now(halving).state, now(halving).reason) == ("finished", "Best: #4 with training loss 0.5.")
    assert job_of(halving, 4).attempt_number == 3, "one attempt a rung"


def test_promoted_runs_wait_for_a_free_slot(submit):
    sweep = submit(strategy="halving", count=4, first_steps=100, eta=2, parallel=1)
    for number in (1, 2, 3, 4):
        train(sweep, number, float(number))
        advance.advance_all()
    advance.advance_all()
    assert numbers(sweep, *advance.IN_PROGRESS_STATES) == [1] and numbers(sweep, JobState.PAUSED) == [2]


def test_a_failed_job_neither_delays_the_rung_nor_is_promoted(halving, settings):
    settings.RETRY_LIMIT = 0
    train(halving, 1, 0.1, AttemptState.FAILED, Cause.WORKLOAD)
    for number in (2, 3, 4):
        train(halving, number, float(number))
    advance.advance_all()
    assert now(halving).decisions[0]["promoted"] == [2, 3]


def test_a_nan_value_is_never_promoted(halving):
    for number, loss in enumerate((float("nan"), 5.0, 6.0, 7.0), start=1):
        train(halving, number, loss)
    advance.advance_all()
    assert now(halving).decisions[0]["promoted"] == [2, 3]
    assert job_of(halving, 1).reason == "Stopped at step 50: it has no training loss to compare."


def test_a_sweep_without_a_run_at_its_rung_finishes(halving):
    for number in (1, 2, 3, 4):
        job_actions.cancel(job_of(halving, number), actor="tom")
    advance.advance_all()
    assert (now(halving).state, now(halving).reason) == ("finished", "No run has a training loss.")


def test_a_halted_run_that_a_person_resumes_runs_to_its_end(halving):
    train(halving, 3, 9.0)
    job_actions.resume(job_of(halving, 3), actor="tom")
    assert job_of(halving, 3).halt_at_step is None
    for number in (1, 2, 4):
        train(halving, number, float(number))
    advance.advance_all()
    assert now(halving).decisions[0]["promoted"] == [1, 2]
    assert job_of(halving, 3).state in advance.IN_PROGRESS_STATES, "it is left alone"


def test_a_job_that_a_person_paused_delays_its_rung_until_it_is_resumed(halving):
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


def test_a_job_retried_after_the_decision_stops_at_its_rung(halving, settings):
    settings.RETRY_LIMIT = 0
    train(halving, 1, 0.1, AttemptState.FAILED, Cause.WORKLOAD)
    for number in (2, 3, 4):
        train(halving, number, float(number))
    advance.advance_all()
    job_actions.retry(job_of(halving, 1), actor="tom")
    train(halving, 1, 0.1)
    advance.advance_all()
    assert job_of(halving, 1).reason == "The rung it reached was already decided."


def test_a_preemption_at_the_rung_counts_as_a_halt(halving):
    job = job_of(halving, 1)
    attempt = running(job)
    Attempt.objects.filter(id=attempt.id).update(yield_reason="Preempted by job x")
    Job.objects.filter(id=job.id).update(step=50)
    end_attempt(Attempt.objects.get(id=attempt.id), AttemptState.STOPPED, "stopped", Cause.STOPPED)
    assert job_of(halving, 1).is_halted
