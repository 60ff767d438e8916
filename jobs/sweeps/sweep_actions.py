"""What people do with sweeps: look at one before it starts, submit, pause, resume and cancel it."""

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

OVER = (SweepState.FINISHED, SweepState.CANCELLED)


@dataclass(frozen=True)
class Preview:
    """What a definition would start."""

    definition: definitions.Sweep
    points: list[dict[str, Any]]
    refused: dict[int, str]  # number of a point -> every reason
    rungs: list[int]
    num_steps: int  # at the most, over all runs and rungs

    @property
    def num_runs(self) -> int:
        return len(self.points) - len(self.refused)


def preview(*, spec: Spec, values: Any, team: Team, owner: User) -> Preview:
    """Raises SpecError for a definition, or a priority, that cannot be; a single point that no pool could run is named
    in `refused`. 1,000 points cost about 1.5 s of CPU."""
    definition = definitions.parse_sweep(values, spec)
    job_actions.refuse_priority(spec, team, owner)
    points = definitions.points(definition)
    refused: dict[int, str] = {}
    steps: list[int] = []
    for number, point in enumerate(points, start=1):
        try:
            candidate = definitions.spec_of(spec, point, number)
            job_actions.check(candidate, team)
            steps.append(candidate.budget.steps)
        except SpecError as error:
            refused[number] = str(error)
    rungs = definitions.rungs(definition, spec.budget.steps)
    most = sum(steps) if len(rungs) == 1 else _steps_of_halving(len(steps), rungs, definition.eta)
    return Preview(definition, points, refused, rungs, most)


def submit(*, spec: Spec, values: Any, team: Team, owner: User) -> Sweep:
    """Its first jobs are in the queue at once, the others follow as `parallel` allows. Points that no pool could run
    are left out. Raises SpecError where there is no other, and as `preview` does."""
    seen = preview(spec=spec, values=values, team=team, owner=owner)
    if not seen.num_runs:
        said = f"None of {len(seen.points)} runs could run. The first: {seen.refused[1]}"
        raise SpecError([Problem("sweep.vary", said)])
    actor = owner.get_username()
    with transaction.atomic():
        sweep = Sweep.objects.create(
            team=team,
            owner=owner,
            name=spec.name,
            spec=spec.model_dump(),
            definition=seen.definition.model_dump(by_alias=True),
            points=seen.points,
            refused={str(number): why for number, why in seen.refused.items()},
            rungs=seen.rungs,
        )
        left_out = f"; {len(seen.refused)} left out, since no pool could run them" if seen.refused else ""
        _tell(sweep, actor, f"Submitted: {seen.num_runs} runs{left_out}.")
    advance.advance(sweep.id)
    return sweep


def pause(sweep: Sweep, actor: str) -> Sweep:
    """All its jobs pause at their next step border and keep a checkpoint. Raises StateError."""

    def each(job: Job) -> None:
        if job.state != JobState.PAUSED:
            job_actions.pause(job, actor, f"Paused with its sweep by {actor}.")

    return _move(sweep, (SweepState.RUNNING,), SweepState.PAUSED, actor, f"Paused by {actor}.", each)


def resume(sweep: Sweep, actor: str) -> Sweep:
    """Its paused jobs wait again; those that stand at a rung are compared as before. Raises StateError."""

    def each(job: Job) -> None:
        is_pausing = job.state == JobState.STOPPING and job.wanted_state == JobState.PAUSED
        if is_pausing or (job.state == JobState.PAUSED and not job.is_halted):
            job_actions.resume(job, actor)

    return _move(sweep, (SweepState.PAUSED,), SweepState.RUNNING, actor, f"Resumed by {actor}.", each)


def cancel(sweep: Sweep, actor: str, reason: str = "") -> Sweep:
    """All its jobs that have not ended are cancelled; running ones stop at a step border. Raises StateError."""
    said = reason or f"Cancelled by {actor}."

    def each(job: Job) -> None:
        job_actions.cancel(job, actor, f"Cancelled with its sweep: {said}")

    froms = (SweepState.RUNNING, SweepState.PAUSED)
    return _move(sweep, froms, SweepState.CANCELLED, actor, said, each)


ACTIONS: dict[str, Callable[[Sweep, str], Sweep]] = {"pause": pause, "resume": resume, "cancel": cancel}


@transaction.atomic
def _move(
    sweep: Sweep, froms: tuple[str, ...], to: str, actor: str, said: str, each: Callable[[Job], None]
) -> Sweep:
    """The sweep and all its living jobs together, under its lock: no look of the scheduler comes in between."""
    current = Sweep.objects.select_for_update(no_key=True).get(id=sweep.id)
    if current.state not in froms:
        raise StateError(
            f"Sweep {sweep.id} is {current.state}; this can be done only while it is {froms[0]}."
        )
    changes: dict[str, Any] = {"state": to}
    if to in OVER:
        changes |= {"ended_at": timezone.now(), "reason": said}
    Sweep.objects.filter(id=sweep.id).update(**changes)
    _tell(current, actor, said)
    for job in Job.objects.filter(sweep=sweep).exclude(state__in=FINAL).order_by("sweep_number"):
        with contextlib.suppress(StateError):  # it has ended meanwhile
            each(job)
    return Sweep.objects.get(id=sweep.id)


def _steps_of_halving(num_runs: int, rungs: list[int], eta: int) -> int:
    total, done = 0, 0
    for steps in rungs:
        total += num_runs * (steps - done)
        num_runs, done = min(num_runs, definitions.num_promoted(num_runs, eta)), steps
    return total


def _tell(sweep: Sweep, actor: str, text: str) -> None:
    SweepEvent.objects.create(sweep=sweep, actor=actor, text=text)
