"""Actions on sweeps: preview, submit, pause, resume and cancel."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from django.contrib.auth.models import User
from django.db import transaction
from django.utils import timezone

from engine import sweep as definitions
from engine.spec.problems import Problem, SpecError
from engine.spec.spec import Spec
from jobs.models import Job, Sweep, SweepEvent, Team
from jobs.models.sweeps import SweepState
from jobs.queue import job_actions
from jobs.states.jobs import FINAL, JobState, StateError
from jobs.sweeps import advance

ENDED_STATES = (SweepState.FINISHED, SweepState.CANCELLED)


@dataclass(frozen=True)
class Preview:
    """The runs that a definition would start."""

    definition: definitions.SweepDefinition
    points: list[dict[str, Any]]
    refused: dict[int, str]  # number of a point -> all reasons
    rungs: list[int]
    num_steps: int  # upper limit over all runs and rungs

    @property
    def num_runs(self) -> int:
        return len(self.points) - len(self.refused)


def preview(*, spec: Spec, values: Any, team: Team, owner: User) -> Preview:
    """Check a definition and list its points; points that no pool can run are in `refused`.

    Raises SpecError for an invalid definition or priority. 1,000 points cost about 1.5 s of CPU.
    """
    definition = definitions.parse_sweep(values, spec)
    job_actions.refuse_priority(spec, team, owner)
    points = definitions.list_points(definition)
    refused: dict[int, str] = {}
    steps: list[int] = []
    for number, point in enumerate(points, start=1):
        try:
            candidate = definitions.build_spec(spec, point, number)
            job_actions.check(candidate, team)
            steps.append(candidate.budget.steps)
        except SpecError as error:
            refused[number] = str(error)
    rungs = definitions.list_rungs(definition, spec.budget.steps)
    num_steps = sum(steps) if len(rungs) == 1 else _steps_of_halving(len(steps), rungs, definition.eta)
    return Preview(definition, points, refused, rungs, num_steps)


def submit(*, spec: Spec, values: Any, team: Team, owner: User) -> Sweep:
    """Start a sweep: its first jobs are queued at once, the others follow as `parallel` allows.

    Points that no pool can run are left out. Raises SpecError if no point is left, and like `preview`.
    """
    planned = preview(spec=spec, values=values, team=team, owner=owner)
    if not planned.num_runs:
        message = f"None of {len(planned.points)} runs can run. Run #1: {planned.refused[1]}"
        raise SpecError([Problem("sweep.vary", message)])
    actor = owner.get_username()
    with transaction.atomic():
        sweep = Sweep.objects.create(
            team=team,
            owner=owner,
            name=spec.name,
            spec=spec.model_dump(),
            definition=planned.definition.model_dump(by_alias=True),
            points=planned.points,
            refused={str(number): why for number, why in planned.refused.items()},
            rungs=planned.rungs,
        )
        left_out = (
            f"; {len(planned.refused)} left out because no pool can run them" if planned.refused else ""
        )
        _record_event(sweep, actor, f"Submitted: {planned.num_runs} runs{left_out}.")
    advance.advance(sweep.id)
    return sweep


def pause(sweep: Sweep, actor: str) -> Sweep:
    """Pause all jobs of a sweep at their next step boundary, with a checkpoint. Raises StateError."""

    def pause_job(job: Job) -> None:
        if job.state != JobState.PAUSED:
            job_actions.pause(job, actor, f"Paused with its sweep by {actor}.")

    return _change_state(
        sweep, (SweepState.RUNNING,), SweepState.PAUSED, actor, f"Paused by {actor}.", pause_job
    )


def resume(sweep: Sweep, actor: str) -> Sweep:
    """Queue the paused jobs of a sweep again; jobs that halted at a rung wait for its decision. Raises StateError."""

    def resume_job(job: Job) -> None:
        is_pausing = job.state == JobState.STOPPING and job.wanted_state == JobState.PAUSED
        if is_pausing or (job.state == JobState.PAUSED and not job.is_halted):
            job_actions.resume(job, actor)

    return _change_state(
        sweep, (SweepState.PAUSED,), SweepState.RUNNING, actor, f"Resumed by {actor}.", resume_job
    )


def cancel(sweep: Sweep, actor: str, reason: str = "") -> Sweep:
    """Cancel all jobs of a sweep that have not ended; running ones stop at a step boundary. Raises StateError."""
    text = reason or f"Cancelled by {actor}."

    def cancel_job(job: Job) -> None:
        job_actions.cancel(job, actor, f"Cancelled with its sweep: {text}")

    from_states = (SweepState.RUNNING, SweepState.PAUSED)
    return _change_state(sweep, from_states, SweepState.CANCELLED, actor, text, cancel_job)


ACTIONS: dict[str, Callable[[Sweep, str], Sweep]] = {"pause": pause, "resume": resume, "cancel": cancel}


@transaction.atomic
def _change_state(
    sweep: Sweep, from_states: tuple[str, ...], to: str, actor: str, reason: str, act: Callable[[Job], None]
) -> Sweep:
    """Change the state of a sweep and of its live jobs in one transaction.

    The lock of the sweep's row keeps scheduler ticks out.
    """
    current = Sweep.objects.select_for_update(no_key=True).get(id=sweep.id)
    if current.state not in from_states:
        raise StateError(
            f"Sweep {sweep.id} is {current.state}; this action needs a sweep that is {' or '.join(from_states)}."
        )
    changes: dict[str, Any] = {"state": to}
    if to in ENDED_STATES:
        changes |= {"ended_at": timezone.now(), "reason": reason}
    Sweep.objects.filter(id=sweep.id).update(**changes)
    _record_event(current, actor, reason)
    for job in Job.objects.filter(sweep=sweep).exclude(state__in=FINAL).order_by("sweep_number"):
        with contextlib.suppress(StateError):  # the job has just ended
            act(job)
    return Sweep.objects.get(id=sweep.id)


def _steps_of_halving(num_runs: int, rungs: list[int], eta: int) -> int:
    total, done_steps = 0, 0
    for steps in rungs:
        total += num_runs * (steps - done_steps)
        num_runs, done_steps = min(num_runs, definitions.count_promoted(num_runs, eta)), steps
    return total


def _record_event(sweep: Sweep, actor: str, text: str) -> None:
    SweepEvent.objects.create(sweep=sweep, actor=actor, text=text)
