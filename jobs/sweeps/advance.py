"""Progress of sweeps: submits jobs, decides rungs and finishes sweeps.

Every call derives the pending actions from the rows, so any number of schedulers may call it at any time, and
any of them may be killed. A caller that acts locks the sweep's row and derives the actions again.
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

IN_PROGRESS_STATES = (JobState.QUEUED, *ACTIVE)
POINTS_READ = 10_000
SUBMIT_BATCH = 32  # in one transaction: 7 ms of CPU each, while agents wait for the single writer of SQLite


@dataclass(frozen=True)
class PendingActions:
    """Actions that a sweep needs now."""

    submit: tuple[int, ...] = ()  # numbers of points
    resume: tuple[Job, ...] = ()  # promoted, and waiting for a free slot
    stop: tuple[Job, ...] = ()  # reached a rung that was decided without them
    is_rung_complete: bool = False  # the rung can be decided; after the last rung, the sweep has finished

    def __bool__(self) -> bool:
        return bool(self.submit or self.resume or self.stop or self.is_rung_complete)


def advance_all() -> int:
    """Advance every running sweep; return how many changed. A sweep that fails does not stop the others."""
    num_advanced = 0
    for sweep_id in Sweep.objects.filter(state=SweepState.RUNNING).values_list("id", flat=True):
        try:
            num_advanced += advance(sweep_id)
        except DatabaseError:
            raise
        except Exception:
            log.exception("Sweep %s cannot be advanced", sweep_id)
    return num_advanced


def advance(sweep_id: str) -> bool:
    """Advance one sweep; return False if nothing was pending or another scheduler did it."""
    if not pending_actions(Sweep.objects.get(id=sweep_id)):
        return False
    with transaction.atomic():
        sweep = Sweep.objects.select_for_update(no_key=True).get(id=sweep_id)
        actions = pending_actions(sweep)
        if sweep.state != SweepState.RUNNING or not actions:
            return False
        for job in actions.stop:
            _stop_at_rung(job, "The rung it reached was already decided.")
        for job in actions.resume:
            reason = f"Promoted to rung {len(sweep.decisions) + 1} of its sweep; continues to step {_target_step(job)}."
            move_job(
                job.id, JobState.QUEUED, actor=actor_of(sweep), reason=reason, only_from=(JobState.PAUSED,)
            )
        for number in actions.submit:
            _submit(sweep, number)
        if actions.is_rung_complete:
            _decide_rung(sweep)
    return True


def pending_actions(sweep: Sweep) -> PendingActions:
    """The actions a sweep needs now. Runs two queries for any number of jobs."""
    jobs = {job.sweep_number: job for job in _jobs(sweep)}
    members, rung = rung_members(sweep), len(sweep.decisions)
    is_last = rung + 1 >= len(sweep.rungs)
    in_rung = [jobs[number] for number in members if number in jobs]
    free_slots = max(
        0, definition_of(sweep).parallel - sum(job.state in IN_PROGRESS_STATES for job in in_rung)
    )
    promoted = [job for job in in_rung if job.is_halted and not job.has_halted]
    unsubmitted = [number for number in members if number not in jobs]
    resume = promoted[:free_slots]
    late = [j for n, j in jobs.items() if j.is_halted and j.has_halted and n not in members]
    is_rung_complete = not unsubmitted and all(
        _has_reached_rung(job, sweep.rungs[rung], is_last) for job in in_rung
    )
    to_submit = unsubmitted[: min(free_slots - len(resume), SUBMIT_BATCH)]
    return PendingActions(tuple(to_submit), tuple(resume), tuple(late), is_rung_complete)


def rung_members(sweep: Sweep) -> list[int]:
    """Numbers of the points in the current rung."""
    if sweep.decisions:
        return list(sweep.decisions[-1]["promoted"])
    return [number for number in range(1, len(sweep.points) + 1) if str(number) not in sweep.refused]


def definition_of(sweep: Sweep) -> definitions.SweepDefinition:
    return definitions.parse_sweep(sweep.definition, parse(sweep.spec))


def actor_of(sweep: Sweep) -> str:
    return f"sweep:{sweep.id}"


def values_at_step(runs: Mapping[int, str], metric: str, step: int | None) -> dict[int, float]:
    """Number of a point -> the newest value of its run's metric up to a step, for runs that have one."""
    numbers = {run: number for number, run in runs.items()}
    all_series = (
        series.read(list(numbers), [metric], hi=step, points=POINTS_READ, sources={"run"}) if numbers else []
    )
    found: dict[int, float] = {}
    for one in all_series:
        non_finite_steps = [x for x, _ in one.non_finite]
        if len(one.x) and not (non_finite_steps and max(non_finite_steps) >= one.x[-1]):
            found[numbers[one.run]] = float(one.mean[-1])
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


def _has_reached_rung(job: Job, steps: int, is_last: bool) -> bool:
    """Whether the rung does not wait for this job: it ended, stopped at the rung, or was released to run past it."""
    if job.state in FINAL:
        return True
    is_halted_or_released = job.state == JobState.PAUSED or job.halt_at_step is None
    return not is_last and job.step >= steps and is_halted_or_released


def _target_step(job: Job) -> int:
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
        _record_event(sweep, f"Run #{number} was left out: {error}")


def _decide_rung(sweep: Sweep) -> None:
    """Decide the current rung, whose runs have all reached it or ended."""
    definition, rung = definition_of(sweep), len(sweep.decisions)
    is_last = rung + 1 >= len(sweep.rungs)
    members = rung_members(sweep)
    runs = Run.objects.filter(job__sweep=sweep, job__sweep_number__in=members)
    ids = {number: run for number, run in runs.values_list("job__sweep_number", "id") if number is not None}
    values = values_at_step(ids, definition.metric, None if is_last else sweep.rungs[rung])
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
            _stop_at_rung(
                job, _stop_reason(definition, sweep.rungs[rung], number, order, alive, len(promoted))
            )
    continuing = ", ".join(f"#{n}" for n in promoted) or "none"
    _record_event(
        sweep, f"Rung {rung + 1}, step {sweep.rungs[rung]}: {continuing} of {len(members)} runs continue."
    )
    if not promoted:
        _finish(sweep, [], {})


def _stop_reason(
    definition: definitions.SweepDefinition,
    step: int,
    number: int,
    order: list[int],
    values: Mapping[int, float],
    num_promoted: int,
) -> str:
    label = BY_NAME[definition.metric].label.lower()
    if number not in order:
        return f"Stopped at step {step}: it has no {label} to compare."
    position = order.index(number) + 1
    value, rank = f"{label} {values[number]:.4g}", f"{position} of {len(order)}"
    return f"Stopped at step {step}: {value} ranks {rank}, and {num_promoted} continue."


def _stop_at_rung(job: Job, reason: str) -> None:
    """Stop a job that is paused at a rung; a job that a person has resumed is left alone."""
    if job.is_halted:
        sweep_id = Job.objects.values_list("sweep_id", flat=True).get(id=job.id)
        move_job(
            job.id, JobState.CANCELLED, actor=f"sweep:{sweep_id}", reason=reason,
            attempt=job.attempt_number, only_from=(JobState.PAUSED,),
        )  # fmt: skip


def _finish(sweep: Sweep, order: list[int], values: Mapping[int, float]) -> None:
    definition = definition_of(sweep)
    label = BY_NAME[definition.metric].label.lower()
    reason = f"Best: #{order[0]} with {label} {values[order[0]]:.4g}." if order else f"No run has a {label}."
    fields: dict[str, Any] = {"state": SweepState.FINISHED, "reason": reason, "ended_at": timezone.now()}
    Sweep.objects.filter(id=sweep.id, state=SweepState.RUNNING).update(**fields)
    _record_event(sweep, reason)


def _record_event(sweep: Sweep, text: str) -> None:
    SweepEvent.objects.create(sweep=sweep, actor="scheduler", text=text)
