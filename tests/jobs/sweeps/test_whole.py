"""Actions on a whole sweep: pause, resume, cancel, and a sweep that fails to advance."""

from __future__ import annotations

import pytest

from jobs.models import Sweep
from jobs.scheduler import loop
from jobs.states.jobs import JobState, StateError
from jobs.sweeps import advance, sweep_actions
from tests.jobs.sweeps.helpers import LR, job_of, now, numbers, train
from tests.jobs.test_concurrent_actions import running

pytestmark = pytest.mark.django_db


def test_pausing_and_resuming_a_sweep_applies_to_all_of_its_jobs(halving):
    train(halving, 1, 3.0)
    running(job_of(halving, 2))
    sweep_actions.pause(halving, "tom")
    assert now(halving).state == "paused" and halving.events.last().actor == "tom"
    assert numbers(halving, JobState.PAUSED) == [1, 3, 4]
    assert job_of(halving, 2).wanted_state == JobState.PAUSED
    assert advance.advance_all() == 0
    sweep_actions.resume(halving, "olga")
    assert numbers(halving, JobState.PAUSED) == [1], "a job that halted at the rung stays there"
    assert numbers(halving, *advance.IN_PROGRESS_STATES) == [2, 3, 4]
    assert job_of(halving, 2).wanted_state == ""


def test_cancelling_a_sweep_cancels_every_live_job(halving):
    train(halving, 1, 3.0)
    sweep_actions.cancel(halving, "tom", "No use.")
    assert set(halving.jobs.values_list("state", flat=True)) == {JobState.CANCELLED}
    assert (now(halving).state, now(halving).reason) == ("cancelled", "No use.")
    with pytest.raises(StateError, match="is cancelled"):
        sweep_actions.resume(halving, "tom")


def test_a_broken_sweep_does_not_stop_another(submit, monkeypatch):
    broken, sound = submit(parallel=1), submit(parallel=1)
    Sweep.objects.filter(id=broken.id).update(definition={"vary": 3})
    train(sound, 1, 3.0)
    assert advance.advance_all() == 1
    assert numbers(sound, *advance.IN_PROGRESS_STATES) == [2]


def test_the_scheduler_advances_sweeps(submit):
    sweep = submit(parallel=1)
    train(sweep, 1, 1.0)
    loop.Scheduler().tick()
    assert numbers(sweep, *advance.IN_PROGRESS_STATES) == [2]


def test_advancing_needs_a_constant_number_of_queries(submit, django_assert_num_queries):
    for count in (4, 30):
        sweep = submit(vary={LR: {"from": 0.1, "to": 1, "points": count}}, parallel=count)
        with django_assert_num_queries(2):
            advance.advance(sweep.id)
