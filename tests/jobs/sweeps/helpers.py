"""Helpers: sweeps over four learning rates, whose jobs are marked as trained."""

from __future__ import annotations

from jobs import series
from jobs.lifecycle.ending import end_attempt
from jobs.models import Attempt, Job, Sweep
from jobs.series import Point
from jobs.states.jobs import AttemptState, Cause
from tests.jobs.test_concurrent_actions import running

LR = "optimiser.learning_rate"
VALUES = [0.1, 0.2, 0.3, 0.4]


def job_of(sweep: Sweep, number: int) -> Job:
    return Job.objects.select_related("run").get(sweep=sweep, sweep_number=number)


def numbers(sweep: Sweep, *states: str) -> list[int]:
    return list(
        sweep.jobs.filter(state__in=states).order_by("sweep_number").values_list("sweep_number", flat=True)
    )


def train(sweep: Sweep, number: int, loss: float, to: str = AttemptState.STOPPED, cause: str = Cause.STOPPED):
    """Take the job to the step where it halts, or to its end, with this loss."""
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
    end_attempt(attempt, to, "done", cause)


def now(sweep: Sweep) -> Sweep:
    return Sweep.objects.get(id=sweep.id)
