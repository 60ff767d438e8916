"""Jobs that a sweep submits, and when a sweep finishes."""

from __future__ import annotations

import pytest

from engine.spec.spec import SpecError
from jobs.models import Sweep
from jobs.queue import job_actions
from jobs.states.jobs import AttemptState, Cause
from jobs.sweeps import advance
from tests.jobs.sweeps.helpers import VALUES, job_of, now, numbers, train

pytestmark = pytest.mark.django_db


def test_a_grid_submits_one_job_per_point_with_its_value_and_name(submit, owner):
    sweep = submit()
    jobs = [job_of(sweep, number) for number in (1, 2, 3, 4)]
    assert [job.spec["optimiser"]["learning_rate"] for job in jobs] == VALUES
    assert [job.name for job in jobs] == ["tiny #1", "tiny #2", "tiny #3", "tiny #4"]
    assert {(job.owner, job.halt_at_step, job.events.get().actor) for job in jobs} == {
        (owner, None, f"sweep:{sweep.id}")
    }
    assert sweep.events.get().actor == "olga"


def test_at_most_parallel_jobs_are_live_at_once(submit):
    sweep = submit(parallel=2)
    advance.advance_all()
    assert numbers(sweep, *advance.IN_PROGRESS_STATES) == [1, 2]
    train(sweep, 1, 3.0)
    advance.advance_all()
    assert numbers(sweep, *advance.IN_PROGRESS_STATES) == [2, 3]


def test_a_grid_finishes_with_its_last_job_and_names_the_best(submit):
    sweep = submit()
    for number, loss in enumerate((3.0, 1.0, 2.0, 4.0), start=1):
        advance.advance_all()
        assert now(sweep).state == "running"
        train(sweep, number, loss)
    advance.advance_all()
    assert (now(sweep).state, now(sweep).reason) == ("finished", "Best: #2 with training loss 1.")


def test_a_failed_or_cancelled_job_does_not_stall_the_sweep(submit, settings):
    settings.RETRY_LIMIT = 0
    sweep = submit(parallel=1)
    train(sweep, 1, 3.0, AttemptState.FAILED, Cause.WORKLOAD)
    advance.advance_all()
    job_actions.cancel(job_of(sweep, 2), actor="tom")
    advance.advance_all()
    train(sweep, 3, 2.0)
    advance.advance_all()
    train(sweep, 4, 5.0)
    advance.advance_all()
    assert now(sweep).reason == "Best: #3 with training loss 2."


def test_points_that_no_pool_can_run_are_left_out_with_the_reason(submit):
    sweep = submit(vary={"model.heads": [2, 3, 4]})
    assert list(sweep.refused) == ["2"] and "heads" in sweep.refused["2"]
    assert numbers(sweep, *advance.IN_PROGRESS_STATES) == [1, 3]
    for number in (1, 3):
        train(sweep, number, 1.0)
    advance.advance_all()
    assert now(sweep).state == "finished"


def test_a_sweep_without_a_runnable_point_is_refused(submit):
    with pytest.raises(SpecError, match=r"None of 2 runs can run.*heads"):
        submit(vary={"model.heads": [3, 5]})
    assert not Sweep.objects.exists()
