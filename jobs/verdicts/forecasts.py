"""Predicted against measured: each run's plan from before its start, held against what its ranks measured."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from django.db import DatabaseError, transaction

from engine.planner import PHASES
from engine.spec.spec import SpecError, parse
from engine.verdict.states import contended
from jobs import series
from jobs.models import Device, Forecast, Job, Lease, Run
from jobs.planning import calibration, links
from jobs.states.jobs import FINAL
from jobs.verdicts.gather import facts_of

log = logging.getLogger(__name__)

WARM_UP_STEPS = 10  # caches, thread pools and allocators settle in these; of a short run, a third
FEWEST_STEPS = 5
POINTS_READ = 4000
JUDGED_AT_ONCE = 8
WITHOUT_PROCESS = "The device had not been probed: what a process takes by itself was not in the plan."


@dataclass(frozen=True)
class Field:
    name: str
    unit: str
    title: str
    meaning: str


FIELDS: tuple[Field, ...] = (
    Field(
        "memory_bytes",
        "bytes",
        "Memory",
        "Peak of the fullest device: allocator on a GPU, resident memory on a CPU",
    ),
    Field("step_s", "s", "Step time", "Median of the steady steps"),
    Field("tokens_per_s", "tokens_per_s", "Throughput", "Tokens of a step over the median step"),
    Field("energy_j", "j", "Energy of a step", "All devices together, from their counters"),
    Field("data_wait_s", "s", "Data wait", "Mean over the ranks of the medians, as for the phases below"),
    Field("forward_s", "s", "Forward", ""),
    Field("backward_s", "s", "Backward", ""),
    Field("communication_s", "s", "Communication", ""),
    Field("bubble_s", "s", "Bubble", ""),
    Field("optimiser_s", "s", "Optimiser", ""),
    Field("other_s", "s", "Other", ""),
)
BY_NAME = {field.name: field for field in FIELDS}


@dataclass(frozen=True)
class Measured:
    """A figure of a run that has ended, or the status and the reason for having none."""

    value: float | None
    status: str
    reason: str = ""


def judge_all() -> int:
    """Judge some runs that have ended and are not judged; returns how many. One that cannot be holds up no other."""
    jobs = Job.objects.filter(is_judged=False, state__in=FINAL).order_by("ended_at")
    waiting = list(jobs.select_related("run")[:JUDGED_AT_ONCE])
    for job in waiting:
        try:
            if job.spec.get("kind") == "fabric_test":
                links.record_links(job)
            else:
                judge(job)
        except DatabaseError:
            raise
        except Exception:
            log.exception("The forecasts of job %s cannot be judged", job.id)
        Job.objects.filter(id=job.id, ended_at=job.ended_at).update(is_judged=True)
    return len(waiting)


def judge(job: Job) -> list[Forecast]:
    """Write down what was predicted and what was measured of a job's run, in the place of what an earlier end of it
    left, and learn from it. None for a job that made no step."""
    device = _device_of(job)
    if device is None or not job.step:
        return []
    measured, num_steps = measure(job.run)
    was_contended = contended(facts_of(job.run)) is not None
    predicted = predictions(job.run.plan)
    about = {
        "device": device.name,
        "planned_device": ((job.run.plan.get("time") or {}).get("device") or ""),
        "dtype": str(job.run.plan.get("dtype", "")),
        "planner_version": job.run.plan.get("version"),
        "num_steps": num_steps,
    }
    rows = [
        Forecast(
            run=job.run, field=field.name, measured=measured[field.name].value, status=measured[field.name].status,
            reason=measured[field.name].reason[:200], is_contended=was_contended and field.name != "memory_bytes",
            **predicted[field.name], **about,
        )
        for field in FIELDS
    ]  # fmt: skip
    with transaction.atomic():
        Forecast.objects.filter(run=job.run).delete()
        Forecast.objects.bulk_create(rows)
    calibration.update_corrections([device.name])
    return rows


def predictions(plan: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """Field -> the columns of a Forecast that say what a stored plan had predicted."""
    time, raw = plan.get("time") or {}, plan.get("raw") or {}
    learnt = plan.get("learnt_from") or {}
    why_not = str(plan.get("why_not") or "The plan says nothing of it.")[:200]
    spans = {name: time.get(name) for name in ("step_s", "tokens_per_s", "energy_j")} | dict(
        time.get("phases") or {}
    )
    found = {}
    for field in FIELDS:
        span = spans.get(field.name)
        why = why_not
        if field.name == "memory_bytes" and plan.get("peak_bytes"):
            span = plan.get("memory_range") or dict.fromkeys(("low", "point", "high"), plan["peak_bytes"])
            if not _counts_the_process(plan):
                span, why = None, WITHOUT_PROCESS
        n = int(learnt.get(calibration.PHASE_BY_FIELD.get(field.name, ""), 0))
        if field.name in ("step_s", "tokens_per_s"):
            n = max((int(one) for one in learnt.values()), default=0)
        numbers = {key: float(span[key]) if span else None for key in ("low", "point", "high")}
        found[field.name] = numbers | {
            "raw": raw.get(field.name, numbers["point"]), "learnt_from": n, "why_not": "" if span else why,
        }  # fmt: skip
    return found


def _counts_the_process(plan: Mapping[str, Any]) -> bool:
    """Whether what a rank's process takes by itself is in the plan's memory, as it is in what is measured."""
    return any(stage.get("framework_bytes") for stage in plan.get("stages") or ())


def measure(run: Run) -> tuple[dict[str, Measured], int]:
    """Field -> what was measured of the run, and over how many steady steps."""
    lines = series.read([run.id], ["step_s", *PHASES], points=POINTS_READ)
    steady = {(line.metric, line.source): _steady(line.mean) for line in lines}
    whole = steady.get(("step_s", "run"), np.empty(0))
    num_steps = len(whole)
    found = {"memory_bytes": _memory(run)}
    if num_steps < FEWEST_STEPS:
        few = Measured(
            None, "absent", f"Only {num_steps} steady steps; it takes {FEWEST_STEPS} to say how long one is."
        )
        return found | dict.fromkeys((f.name for f in FIELDS if f.name not in found), few), num_steps
    step_s = float(np.median(whole))
    found["step_s"] = Measured(step_s, "measured")
    found["tokens_per_s"] = Measured(_tokens_per_step(run) / step_s, "derived")
    found["energy_j"] = _energy(run)
    for phase in PHASES:
        medians = [float(np.median(s)) for (metric, _), s in steady.items() if metric == phase and len(s)]
        found[phase] = (
            Measured(float(np.mean(medians)), "measured")
            if medians
            else Measured(None, "absent", "No rank measured it.")
        )
    return found, num_steps


def _steady(values: Any) -> Any:
    finite = values[np.isfinite(values)]
    return finite[min(WARM_UP_STEPS, len(finite) // 3) :]


def _memory(run: Run) -> Measured:
    """Peaks since the process began: of the allocator where there is one, else of what is resident."""
    peaks = series.peaks([run.id], ["memory_peak_bytes", "rss_bytes"])
    if found := peaks.get((run.id, "memory_peak_bytes")):
        return Measured(found.value, "measured")
    if found := peaks.get((run.id, "rss_bytes")):
        return Measured(
            found.value, "measured", "resident memory of the rank's process: torch keeps no peak on a CPU"
        )
    return Measured(None, "absent", "No rank has told its memory.")


def _energy(run: Run) -> Measured:
    """Over the whole time in which tokens were made, so that a counter's tick does not matter."""
    spread = series.joules_per_token([run.id]).get(run.id)
    if spread is None:
        return Measured(None, "absent", "No device that it held has an energy counter that could be read.")
    return Measured(spread.value * _tokens_per_step(run), "measured")


def _tokens_per_step(run: Run) -> int:
    planned = run.plan.get("tokens_per_step")
    if planned:
        return int(planned)
    try:
        spec = parse(run.spec)
    except SpecError:
        return 0
    return spec.batch.global_batch_size * spec.model.context


def _device_of(job: Job) -> Device | None:
    """Of rank 0 in the newest attempt that held any."""
    lease = (
        Lease.objects.filter(attempt__job=job, rank=0)
        .order_by("-attempt__number")
        .select_related("device")
        .first()
    )
    return lease.device if lease else None
