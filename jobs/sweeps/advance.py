"""Moves sweeps on: submits their next jobs, compares those that have reached a rung, ends what is done.

The rows are the truth: every look works out anew what is to be done, so it may be made by any number of schedulers, at
any time, and be killed anywhere. Whoever acts holds the sweep's row locked and has looked again.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from django.db import DatabaseError, transaction
from django.utils import timezone

from engine import sweep as definitions
from engine.spec.problems import SpecError
from engine.spec.spec import parse
from engine.telemetry.metrics import BY_NAME
from jobs import series
from jobs.lifecycle.transitions import move_job
from jobs.models import Job, Run, Sweep, SweepEvent
from jobs.models.sweeps import SweepState
from jobs.queue import job_actions
from jobs.states.jobs import ACTIVE, FINAL, JobState

log = logging.getLogger(__name__)

UNDER_WAY = (JobState.QUEUED, *ACTIVE)
POINTS_READ = 10_000
SUBMITTED_AT_ONCE = (
    32  # in one transaction: 7 ms of CPU each, and SQLite has one writer, for which agents wait
)


@dataclass(frozen=True)
class Todo:
    """What one look finds to be done."""

    submit: tuple[int, ...] = ()  # numbers of points
    resume: tuple[Job, ...] = ()  # promoted, and waiting for a place
    stop: tuple[Job, ...] = ()  # came to a rung that has been decided without them
    is_settled: bool = False  # the rung can be compared, or the sweep is done

    def __bool__(self) -> bool:
        return bool(self.submit or self.resume or self.stop or self.is_settled)


def advance_all() -> int:
    """One look at every sweep that runs; returns how many were moved. One that cannot be moved holds up no other."""
    moved = 0
    for sweep_id in Sweep.objects.filter(state=SweepState.RUNNING).values_list("id", flat=True):
        try:
            moved += advance(sweep_id)
        except DatabaseError:
            raise
        except Exception:
            log.exception("Sweep %s cannot be moved on", sweep_id)
    return moved


def advance(sweep_id: str) -> bool:
    """False: there was nothing to do, or somebody else did it."""
    if not todo(Sweep.objects.get(id=sweep_id)):
        return False
    with transaction.atomic():
        sweep = Sweep.objects.select_for_update(no_key=True).get(id=sweep_id)
        found = todo(sweep)
        if sweep.state != SweepState.RUNNING or not found:
            return False
        for job in found.stop:
            _stop(job, "The rung that it came to has been decided without it.")
        for job in found.resume:
            said = f"Promoted to rung {len(sweep.decisions) + 1} of its sweep: on to step {_goal(job)}."
            move_job(
                job.id, JobState.QUEUED, actor=actor_of(sweep), reason=said, only_from=(JobState.PAUSED,)
            )
        for number in found.submit:
            _submit(sweep, number)
        if found.is_settled:
            _settle(sweep)
    return True


def todo(sweep: Sweep) -> Todo:
    """Two queries, however many jobs."""
    jobs = {job.sweep_number: job for job in _jobs(sweep)}
    members, rung = members_of(sweep), len(sweep.decisions)
    is_last = rung + 1 >= len(sweep.rungs)
    here = [jobs[number] for number in members if number in jobs]
    places = max(0, definition_of(sweep).parallel - sum(job.state in UNDER_WAY for job in here))
    promoted = [job for job in here if job.is_halted and not job.has_halted]
    unborn = [number for number in members if number not in jobs]
    resume = promoted[:places]
    late = [j for n, j in jobs.items() if j.is_halted and j.has_halted and n not in members]
    is_settled = not unborn and all(_is_settled(job, sweep.rungs[rung], is_last) for job in here)
    born = unborn[: min(places - len(resume), SUBMITTED_AT_ONCE)]
    return Todo(tuple(born), tuple(resume), tuple(late), is_settled)


def members_of(sweep: Sweep) -> list[int]:
    """Numbers of the points in the present rung."""
    if sweep.decisions:
        return list(sweep.decisions[-1]["promoted"])
    return [number for number in range(1, len(sweep.points) + 1) if str(number) not in sweep.refused]


def definition_of(sweep: Sweep) -> definitions.SweepDefinition:
    return definitions.parse_sweep(sweep.definition, parse(sweep.spec))


def actor_of(sweep: Sweep) -> str:
    return f"sweep:{sweep.id}"


def values_at(runs: Mapping[int, str], metric: str, step: int | None) -> dict[int, float]:
    """Number of a point -> the newest value of the metric of its run up to that step; of runs that have one."""
    numbers = {run: number for number, run in runs.items()}
    lines = (
        series.read(list(numbers), [metric], hi=step, points=POINTS_READ, sources={"run"}) if numbers else []
    )
    found: dict[int, float] = {}
    for line in lines:
        odd = [place for place, _ in line.non_finite]
        if len(line.x) and not (odd and max(odd) >= line.x[-1]):
            found[numbers[line.run]] = float(line.mean[-1])
    return found


def _jobs(sweep: Sweep) -> Iterable[Job]:
    columns = (
        "id",
        "sweep_number",
        "state",
        "step",
        "num_steps",
        "halt_at_step",
        "is_halted",
        "attempt_number",
    )
    return Job.objects.filter(sweep=sweep).only(*columns).order_by("sweep_number")


def _is_settled(job: Job, steps: int, is_last: bool) -> bool:
    """Whether the rung need not wait for it: it has ended, or stands at the rung, or a person has let it run past."""
    if job.state in FINAL:
        return True
    came_here = job.state == JobState.PAUSED or job.halt_at_step is None
    return not is_last and job.step >= steps and came_here


def _goal(job: Job) -> int:
    return job.halt_at_step or job.num_steps


def _submit(sweep: Sweep, number: int) -> None:
    halt = sweep.rungs[0] if len(sweep.rungs) > 1 else None
    try:
        spec = definitions.build_spec(parse(sweep.spec), sweep.points[number - 1], number)
        job_actions.submit(
            spec=spec, team=sweep.team, owner=sweep.owner, actor=actor_of(sweep),
            sweep=sweep, sweep_number=number, halt_at_step=halt,
        )  # fmt: skip
    except SpecError as error:  # the pool has changed since the sweep was submitted
        sweep.refused[str(number)] = str(error)
        sweep.save(update_fields=["refused"])
        _tell(sweep, f"Run #{number} was left out: {error}")


def _settle(sweep: Sweep) -> None:
    """All that were compared have come to the rung, or ended."""
    definition, rung = definition_of(sweep), len(sweep.decisions)
    is_last = rung + 1 >= len(sweep.rungs)
    members = members_of(sweep)
    runs = Run.objects.filter(job__sweep=sweep, job__sweep_number__in=members)
    ids = {number: run for number, run in runs.values_list("job__sweep_number", "id") if number is not None}
    values = values_at(ids, definition.metric, None if is_last else sweep.rungs[rung])
    if is_last:
        _finish(sweep, definitions.rank_runs(values, definition.goal), values)
        return
    jobs = {job.sweep_number: job for job in _jobs(sweep) if job.sweep_number in members}
    alive = {n: value for n, value in values.items() if jobs[n].state not in FINAL}
    order = definitions.rank_runs(alive, definition.goal)
    promoted = order[: definitions.count_promoted(len(members), definition.eta)]
    following = sweep.rungs[rung + 1] if rung + 2 < len(sweep.rungs) else None
    decision = {
        "steps": sweep.rungs[rung], "at": timezone.now().isoformat(), "members": members,
        "promoted": promoted, "values": {str(n): value for n, value in values.items()},
    }  # fmt: skip
    sweep.decisions = [*sweep.decisions, decision]
    sweep.save(update_fields=["decisions"])
    Job.objects.filter(sweep=sweep, sweep_number__in=promoted, halt_at_step__isnull=False).update(
        halt_at_step=following
    )
    for number, job in jobs.items():
        if number not in promoted and job.state not in FINAL:
            _stop(job, _why_stopped(definition, sweep.rungs[rung], number, order, alive, len(promoted)))
    went = ", ".join(f"#{n}" for n in promoted) or "nobody"
    _tell(sweep, f"Rung {rung + 1}, step {sweep.rungs[rung]}: of {len(members)} runs {went} went on.")
    if not promoted:
        _finish(sweep, [], {})


def _why_stopped(
    definition: definitions.SweepDefinition,
    step: int,
    number: int,
    order: list[int],
    values: Mapping[int, float],
    kept: int,
) -> str:
    label = BY_NAME[definition.metric].label.lower()
    if number not in order:
        return f"Stopped at step {step}: it has no {label} to compare."
    place = order.index(number) + 1
    return f"Stopped at step {step}: {label} {values[number]:.4g} is place {place} of {len(order)}, and {kept} went on."


def _stop(job: Job, reason: str) -> None:
    """Only while it stands at a rung: one that a person has let run on is left alone."""
    if job.is_halted:
        sweep_id = Job.objects.values_list("sweep_id", flat=True).get(id=job.id)
        move_job(
            job.id, JobState.CANCELLED, actor=f"sweep:{sweep_id}", reason=reason,
            attempt=job.attempt_number, only_from=(JobState.PAUSED,),
        )  # fmt: skip


def _finish(sweep: Sweep, order: list[int], values: Mapping[int, float]) -> None:
    definition = definition_of(sweep)
    label = BY_NAME[definition.metric].label.lower()
    said = (
        f"Best: #{order[0]} with {label} {values[order[0]]:.4g}." if order else f"No run came to a {label}."
    )
    fields: dict[str, Any] = {"state": SweepState.FINISHED, "reason": said, "ended_at": timezone.now()}
    Sweep.objects.filter(id=sweep.id, state=SweepState.RUNNING).update(**fields)
    _tell(sweep, said)


def _tell(sweep: Sweep, text: str) -> None:
    SweepEvent.objects.create(sweep=sweep, actor="scheduler", text=text)
