"""Sweeps: which jobs they submit, who goes on at a rung and why, and what stops, pauses or survives them."""

from __future__ import annotations

from typing import Any

import pytest
from django.db.models import Max

from engine.spec import SpecError
from jobs import queue, rounds, scheduler, series, sweeps
from jobs.agent.follow import end
from jobs.models import Attempt, Job, Sweep
from jobs.series import Point
from jobs.states import FINAL, AttemptState, Cause, JobState, StateError
from tests.jobs.test_races import at_once
from tests.jobs.test_races_of_people import running

pytestmark = pytest.mark.django_db

LR = "optimiser.learning_rate"
VALUES = [0.1, 0.2, 0.3, 0.4]


@pytest.fixture
def submit(make_spec, make_node, team, owner):
    """submit(strategy='halving', ...): a sweep over four learning rates, in a pool with room for all of its runs."""
    make_node("big", devices=16)

    def make(*changes: str, **values: Any) -> Sweep:
        values = {"vary": {LR: VALUES}, "parallel": 16, "metric": "loss"} | values
        return sweeps.submit(spec=make_spec(*changes, devices=1), values=values, team=team, owner=owner)

    return make


@pytest.fixture
def halving(submit) -> Sweep:
    return submit(strategy="halving", count=4, first_steps=50, eta=2)  # rungs at 50, 100, 200 steps


def job_of(sweep: Sweep, number: int) -> Job:
    return Job.objects.select_related("run").get(sweep=sweep, sweep_number=number)


def numbers(sweep: Sweep, *states: str) -> list[int]:
    return list(
        sweep.jobs.filter(state__in=states).order_by("sweep_number").values_list("sweep_number", flat=True)
    )


def train(sweep: Sweep, number: int, loss: float, to: str = AttemptState.STOPPED, cause: str = Cause.STOPPED):
    """Its job runs to where it halts, or to its end, with this loss."""
    job = job_of(sweep, number)
    attempt = running(job)
    last = job.halt_at_step or job.num_steps
    at = attempt.number * 1000.0
    points = [Point("loss", "run", step, at + step, loss) for step in range(last - 5, last + 1)]
    series.append(job.run.id, attempt.number, "rank0.jsonl", 0, points)
    Job.objects.filter(id=job.id).update(step=last)
    Attempt.objects.filter(id=attempt.id).update(checkpoint_step=last)
    attempt = Attempt.objects.select_related("node", "job__run").get(id=attempt.id)
    if job.halt_at_step is None and to == AttemptState.STOPPED:
        to, cause = AttemptState.SUCCEEDED, Cause.DONE
    end(attempt, to, "done", cause)


def now(sweep: Sweep) -> Sweep:
    return Sweep.objects.get(id=sweep.id)


def test_a_grid_submits_one_job_a_point_each_with_its_value_and_name(submit, owner):
    sweep = submit()
    jobs = [job_of(sweep, number) for number in (1, 2, 3, 4)]
    assert [job.spec["optimiser"]["learning_rate"] for job in jobs] == VALUES
    assert [job.name for job in jobs] == ["tiny #1", "tiny #2", "tiny #3", "tiny #4"]
    assert {(job.owner, job.halt_at_step, job.events.get().actor) for job in jobs} == {
        (owner, None, f"sweep:{sweep.id}")
    }
    assert sweep.events.get().actor == "olga"


def test_no_more_jobs_than_allowed_wait_or_run_at_once(submit):
    sweep = submit(parallel=2)
    rounds.advance_all()
    assert numbers(sweep, *rounds.UNDER_WAY) == [1, 2]
    train(sweep, 1, 3.0)
    rounds.advance_all()
    assert numbers(sweep, *rounds.UNDER_WAY) == [2, 3]


def test_a_grid_finishes_with_its_last_job_and_names_the_best(submit):
    sweep = submit()
    for number, loss in enumerate((3.0, 1.0, 2.0, 4.0), start=1):
        rounds.advance_all()
        assert now(sweep).state == "running"
        train(sweep, number, loss)
    rounds.advance_all()
    assert (now(sweep).state, now(sweep).reason) == ("finished", "Best: #2 with training loss 1.")


def test_a_job_that_fails_or_is_cancelled_stalls_nothing(submit, settings):
    settings.RETRY_LIMIT = 0
    sweep = submit(parallel=1)
    train(sweep, 1, 3.0, AttemptState.FAILED, Cause.WORKLOAD)
    rounds.advance_all()
    queue.cancel(job_of(sweep, 2), actor="tom")
    rounds.advance_all()
    train(sweep, 3, 2.0)
    rounds.advance_all()
    train(sweep, 4, 5.0)
    rounds.advance_all()
    assert now(sweep).reason == "Best: #3 with training loss 2."


def test_points_that_no_pool_could_run_are_left_out_with_the_reason(submit):
    sweep = submit(vary={"model.heads": [2, 3, 4]})
    assert list(sweep.refused) == ["2"] and "heads" in sweep.refused["2"]
    assert numbers(sweep, *rounds.UNDER_WAY) == [1, 3]
    for number in (1, 3):
        train(sweep, number, 1.0)
    rounds.advance_all()
    assert now(sweep).state == "finished"


def test_a_sweep_of_which_no_run_could_run_is_refused(submit):
    with pytest.raises(SpecError, match=r"None of 2 runs could run.*heads"):
        submit(vary={"model.heads": [3, 5]})
    assert not Sweep.objects.exists()


class TestHalving:
    def test_jobs_halt_at_the_rung_and_give_their_devices_back(self, halving):
        train(halving, 1, 3.0)
        job = job_of(halving, 1)
        assert (job.state, job.is_halted, job.reason) == (
            JobState.PAUSED, True, "Reached step 50, where it was to halt.",
        )  # fmt: skip
        rounds.advance_all()
        assert now(halving).decisions == [], "the rung waits for the others"

    def test_the_better_half_goes_on_in_the_same_jobs_and_the_others_end_with_the_reason(self, halving):
        for number, loss in enumerate((3.0, 1.0, 4.0, 2.0), start=1):
            train(halving, number, loss)
        rounds.advance_all()
        rounds.advance_all()
        assert numbers(halving, *rounds.UNDER_WAY) == [2, 4]
        assert [job_of(halving, number).halt_at_step for number in (2, 4)] == [100, 100]
        (decision,) = now(halving).decisions
        assert (decision["steps"], decision["members"], decision["promoted"]) == (50, [1, 2, 3, 4], [2, 4])
        stopped = job_of(halving, 3)
        assert stopped.state == JobState.CANCELLED
        assert stopped.reason == "Stopped at step 50: training loss 4 is place 4 of 4, and 2 went on."
        assert stopped.events.last().actor == f"sweep:{halving.id}"
        said = job_of(halving, 2).events.last()
        assert (said.kind, said.text) == ("job.queued", "Promoted to rung 2 of its sweep: on to step 100.")

    def test_it_goes_on_to_the_last_rung_where_the_best_is_named(self, halving):
        for number, loss in enumerate((3.0, 1.0, 4.0, 2.0), start=1):
            train(halving, number, loss)
        rounds.advance_all()
        rounds.advance_all()
        train(halving, 2, 0.9)
        train(halving, 4, 0.8)
        rounds.advance_all()
        rounds.advance_all()
        assert numbers(halving, *rounds.UNDER_WAY) == [4] and job_of(halving, 4).halt_at_step is None
        assert now(halving).decisions[1]["promoted"] == [4]
        train(halving, 4, 0.5)
        rounds.advance_all()
        assert (now(halving).state, now(halving).reason) == ("finished", "Best: #4 with training loss 0.5.")
        assert job_of(halving, 4).attempt_number == 3, "one attempt a rung"

    def test_those_promoted_wait_for_a_place_too(self, submit):
        sweep = submit(strategy="halving", count=4, first_steps=100, eta=2, parallel=1)
        for number in (1, 2, 3, 4):
            train(sweep, number, float(number))
            rounds.advance_all()
        rounds.advance_all()
        assert numbers(sweep, *rounds.UNDER_WAY) == [1] and numbers(sweep, JobState.PAUSED) == [2]

    def test_a_failed_job_is_not_waited_for_and_not_promoted(self, halving, settings):
        settings.RETRY_LIMIT = 0
        train(halving, 1, 0.1, AttemptState.FAILED, Cause.WORKLOAD)
        for number in (2, 3, 4):
            train(halving, number, float(number))
        rounds.advance_all()
        assert now(halving).decisions[0]["promoted"] == [2, 3]

    def test_a_value_that_is_no_number_never_goes_on(self, halving):
        for number, loss in enumerate((float("nan"), 5.0, 6.0, 7.0), start=1):
            train(halving, number, loss)
        rounds.advance_all()
        assert now(halving).decisions[0]["promoted"] == [2, 3]
        assert job_of(halving, 1).reason == "Stopped at step 50: it has no training loss to compare."

    def test_where_nobody_comes_to_a_rung_it_ends(self, halving):
        for number in (1, 2, 3, 4):
            queue.cancel(job_of(halving, number), actor="tom")
        rounds.advance_all()
        assert (now(halving).state, now(halving).reason) == ("finished", "No run came to a training loss.")

    def test_a_person_may_let_a_stopped_run_go_on_to_its_end(self, halving):
        train(halving, 3, 9.0)
        queue.resume(job_of(halving, 3), actor="tom")
        assert job_of(halving, 3).halt_at_step is None
        for number in (1, 2, 4):
            train(halving, number, float(number))
        rounds.advance_all()
        assert now(halving).decisions[0]["promoted"] == [1, 2]
        assert job_of(halving, 3).state in rounds.UNDER_WAY, "it is left alone"

    def test_a_job_that_was_paused_by_a_person_holds_its_rung_up_until_it_is_resumed(self, halving):
        queue.pause(job_of(halving, 1), actor="tom")
        for number in (2, 3, 4):
            train(halving, number, float(number))
        rounds.advance_all()
        assert now(halving).decisions == []
        queue.resume(job_of(halving, 1), actor="tom")
        assert job_of(halving, 1).halt_at_step == 50
        train(halving, 1, 1.0)
        rounds.advance_all()
        assert now(halving).decisions[0]["promoted"] == [1, 2]

    def test_a_job_that_is_retried_after_its_rung_was_decided_ends_when_it_comes_there(
        self, halving, settings
    ):
        settings.RETRY_LIMIT = 0
        train(halving, 1, 0.1, AttemptState.FAILED, Cause.WORKLOAD)
        for number in (2, 3, 4):
            train(halving, number, float(number))
        rounds.advance_all()
        queue.retry(job_of(halving, 1), actor="tom")
        train(halving, 1, 0.1)
        rounds.advance_all()
        assert job_of(halving, 1).reason == "The rung that it came to has been decided without it."

    def test_a_preemption_at_the_rung_itself_is_a_halt(self, halving):
        job = job_of(halving, 1)
        attempt = running(job)
        Attempt.objects.filter(id=attempt.id).update(yield_reason="Preempted by job x")
        Job.objects.filter(id=job.id).update(step=50)
        end(Attempt.objects.get(id=attempt.id), AttemptState.STOPPED, "stopped", Cause.STOPPED)
        assert job_of(halving, 1).is_halted


class TestWhole:
    def test_pausing_and_resuming_takes_all_of_its_jobs_along(self, halving):
        train(halving, 1, 3.0)
        running(job_of(halving, 2))
        sweeps.pause(halving, "tom")
        assert now(halving).state == "paused" and halving.events.last().actor == "tom"
        assert numbers(halving, JobState.PAUSED) == [1, 3, 4]
        assert job_of(halving, 2).wanted_state == JobState.PAUSED
        assert rounds.advance_all() == 0
        sweeps.resume(halving, "olga")
        assert numbers(halving, JobState.PAUSED) == [1], "what stands at the rung stays there"
        assert numbers(halving, *rounds.UNDER_WAY) == [2, 3, 4]
        assert job_of(halving, 2).wanted_state == ""

    def test_cancelling_ends_all_that_has_not_ended(self, halving):
        train(halving, 1, 3.0)
        sweeps.cancel(halving, "tom", "No use.")
        assert set(halving.jobs.values_list("state", flat=True)) == {JobState.CANCELLED}
        assert (now(halving).state, now(halving).reason) == ("cancelled", "No use.")
        with pytest.raises(StateError, match="is cancelled"):
            sweeps.resume(halving, "tom")

    def test_a_sweep_that_breaks_holds_up_no_other(self, submit, monkeypatch):
        broken, sound = submit(parallel=1), submit(parallel=1)
        Sweep.objects.filter(id=broken.id).update(definition={"vary": 3})
        train(sound, 1, 3.0)
        assert rounds.advance_all() == 1
        assert numbers(sound, *rounds.UNDER_WAY) == [2]

    def test_the_scheduler_moves_sweeps_on(self, submit):
        sweep = submit(parallel=1)
        train(sweep, 1, 1.0)
        scheduler.Scheduler().tick()
        assert numbers(sweep, *rounds.UNDER_WAY) == [2]

    def test_looking_costs_the_same_however_many_runs_there_are(self, submit, django_assert_num_queries):
        for count in (4, 30):
            sweep = submit(vary={LR: {"from": 0.1, "to": 1, "points": count}}, parallel=count)
            with django_assert_num_queries(2):
                rounds.advance(sweep.id)


@pytest.mark.django_db(transaction=True)
class TestRaces:
    def test_two_schedulers_submit_each_point_once_and_decide_each_rung_once(self, halving):
        for number, loss in enumerate((3.0, 1.0, 4.0, 2.0), start=1):
            train(halving, number, loss)
        for _ in range(3):
            at_once(*[rounds.advance_all] * 3)
        assert len(now(halving).decisions) == 1
        assert halving.events.filter(text__startswith="Rung 1").count() == 1
        for number in (2, 4):
            promoted = job_of(halving, number).events.filter(text__startswith="Promoted")
            assert promoted.count() == 1

    def test_points_are_submitted_once_by_many(self, submit):
        sweep = submit(vary={LR: {"from": 0.1, "to": 1, "points": 12}}, parallel=3)
        for _ in range(4):
            at_once(*[rounds.advance_all] * 3)
            for job in sweep.jobs.exclude(state__in=FINAL):
                queue.cancel(job, actor="test")
        assert sweep.jobs.count() == 12 == sweep.jobs.aggregate(last=Max("sweep_number"))["last"]

    def test_a_cancel_beside_a_look_leaves_nothing_under_way(self, submit):
        for _ in range(5):
            sweep = submit(parallel=1)
            queue.cancel(job_of(sweep, 1), actor="test")
            at_once(rounds.advance_all, lambda sweep=sweep: sweeps.cancel(sweep, "tom"))
            assert not sweep.jobs.exclude(state__in=FINAL).exists()
