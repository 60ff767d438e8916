"""Forecasts of runs: figures planned before the start against measured ones."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from django.db import DatabaseError, transaction

from engine.planner import PHASES
from engine.spec.spec import SpecError, parse
from engine.verdict.rules.contended import is_contended
from jobs import series
from jobs.models import Device, Forecast, Job, Lease, Run
from jobs.planning import calibration, links
from jobs.states.jobs import FINAL
from jobs.verdicts.gather import collect_facts

log = logging.getLogger(__name__)

WARM_UP_STEPS = 10  # until caches, thread pools and allocators have settled; a third of a short run
FEWEST_STEPS = 5
POINTS_READ = 4000
BATCH_JOBS = 8
WITHOUT_PROCESS = "The device had not been probed: the plan did not count the memory of the process itself."


@dataclass(frozen=True)
class ForecastField:
    name: str
    unit: str
    title: str
    meaning: str


FIELDS: tuple[ForecastField, ...] = (
    ForecastField(
        "memory_bytes",
        "bytes",
        "Memory",
        "Peak of the fullest device: allocator on a GPU, resident memory on a CPU",
    ),
    ForecastField("step_s", "s", "Step time", "Median of the steady steps"),
    ForecastField("tokens_per_s", "tokens_per_s", "Throughput", "Tokens of a step over the median step"),
    ForecastField("energy_j", "j", "Energy of a step", "All devices together, from their counters"),
    ForecastField(
        "data_wait_s", "s", "Data wait", "Mean over the ranks of the medians, as for the phases below"
    ),
    ForecastField("forward_s", "s", "Forward", ""),
    ForecastField("backward_s", "s", "Backward", ""),
    ForecastField("communication_s", "s", "Communication", ""),
    ForecastField("bubble_s", "s", "Bubble", ""),
    ForecastField("optimiser_s", "s", "Optimiser", ""),
    ForecastField("other_s", "s", "Other", ""),
)
BY_NAME = {field.name: field for field in FIELDS}


@dataclass(frozen=True)
class Measured:
    """A figure of an ended run, or the status and the reason if there is none."""

    value: float | None
    status: str
    reason: str = ""


def judge_all() -> int:
    """Judge a batch of ended, unjudged jobs; returns their number. A failure of one does not stop the others."""
    jobs = Job.objects.filter(is_judged=False, state__in=FINAL).order_by("ended_at")
    waiting = list(jobs.select_related("run")[:BATCH_JOBS])
    for job in waiting:
        try:
            if job.spec.get("kind") == "fabric_test":
                links.record_links(job)
            else:
                judge_job(job)
        except DatabaseError:
            raise
        except Exception:
            log.exception("The forecasts of job %s cannot be judged", job.id)
        Job.objects.filter(id=job.id, ended_at=job.ended_at).update(is_judged=True)
    return len(waiting)


def judge_job(job: Job) -> list[Forecast]:
    """Store the predicted and measured figures of a job's run, replacing those of an earlier end, and learn from them.
    A job without a step has none."""
    device = _get_device(job)
    if device is None or not job.step:
        return []
    measured, num_steps = measure(job.run)
    was_contended = is_contended(collect_facts(job.run))
    predicted = get_predictions(job.run.plan)
    shared = {
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
            **predicted[field.name], **shared,
        )
        for field in FIELDS
    ]  # fmt: skip
    with transaction.atomic():
        Forecast.objects.filter(run=job.run).delete()
        Forecast.objects.bulk_create(rows)
    calibration.update_corrections([device.name])
    return rows


def get_predictions(plan: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """Field -> the columns of a Forecast with the prediction of a stored plan."""
    time, raw = plan.get("time") or {}, plan.get("raw") or {}
    learnt = plan.get("learnt_from") or {}
    why_not = str(plan.get("why_not") or "The plan does not cover it.")[:200]
    spans = {name: time.get(name) for name in ("step_s", "tokens_per_s", "energy_j")} | dict(
        time.get("phases") or {}
    )
    columns = {}
    for field in FIELDS:
        span = spans.get(field.name)
        reason = why_not
        if field.name == "memory_bytes" and plan.get("peak_bytes"):
            span = plan.get("memory_range") or dict.fromkeys(("low", "point", "high"), plan["peak_bytes"])
            if not _counts_the_process(plan):
                span, reason = None, WITHOUT_PROCESS
        n = int(learnt.get(calibration.PHASE_BY_FIELD.get(field.name, ""), 0))
        if field.name in ("step_s", "tokens_per_s"):
            n = max((int(one) for one in learnt.values()), default=0)
        numbers = {key: float(span[key]) if span else None for key in ("low", "point", "high")}
        columns[field.name] = numbers | {
            "raw": raw.get(field.name, numbers["point"]), "learnt_from": n, "why_not": "" if span else reason,
        }  # fmt: skip
    return columns


def _counts_the_process(plan: Mapping[str, Any]) -> bool:
    """Whether the plan's memory includes that of the process itself, as the measured one does."""
    return any(stage.get("framework_bytes") for stage in plan.get("stages") or ())


def measure(run: Run) -> tuple[dict[str, Measured], int]:
    """Measured figures by field, and the number of steady steps."""
    lines = series.read([run.id], ["step_s", *PHASES], points=POINTS_READ)
    steady = {(line.metric, line.source): _get_steady(line.mean) for line in lines}
    whole = steady.get(("step_s", "run"), np.empty(0))
    num_steps = len(whole)
    found = {"memory_bytes": _get_memory(run)}
    if num_steps < FEWEST_STEPS:
        few = Measured(None, "absent", f"Only {num_steps} steady steps; a step time needs {FEWEST_STEPS}.")
        return found | dict.fromkeys((f.name for f in FIELDS if f.name not in found), few), num_steps
    step_s = float(np.median(whole))
    found["step_s"] = Measured(step_s, "measured")
    found["tokens_per_s"] = Measured(_get_tokens_per_step(run) / step_s, "derived")
    found["energy_j"] = _get_energy(run)
    for phase in PHASES:
        medians = [float(np.median(s)) for (metric, _), s in steady.items() if metric == phase and len(s)]
        found[phase] = (
            Measured(float(np.mean(medians)), "measured")
            if medians
            else Measured(None, "absent", "No rank measured it.")
        )
    return found, num_steps


def _get_steady(values: Any) -> Any:
    finite = values[np.isfinite(values)]
    return finite[min(WARM_UP_STEPS, len(finite) // 3) :]


def _get_memory(run: Run) -> Measured:
    """Peak since the start of the process: of the allocator if there is one, else of resident memory."""
    peaks = series.peaks([run.id], ["memory_peak_bytes", "rss_bytes"])
    if found := peaks.get((run.id, "memory_peak_bytes")):
        return Measured(found.value, "measured")
    if found := peaks.get((run.id, "rss_bytes")):
        return Measured(
            found.value, "measured", "resident memory of the rank's process: torch keeps no peak on a CPU"
        )
    return Measured(None, "absent", "No rank recorded its memory.")


def _get_energy(run: Run) -> Measured:
    """From the whole training time, so that a counter's resolution does not matter."""
    spread = series.joules_per_token([run.id]).get(run.id)
    if spread is None:
        return Measured(None, "absent", "None of its devices has a readable energy counter.")
    return Measured(spread.value * _get_tokens_per_step(run), "measured")


def _get_tokens_per_step(run: Run) -> int:
    planned = run.plan.get("tokens_per_step")
    if planned:
        return int(planned)
    try:
        spec = parse(run.spec)
    except SpecError:
        return 0
    return spec.batch.global_batch_size * spec.model.context


def _get_device(job: Job) -> Device | None:
    """The device of rank 0 in the newest attempt that held any."""
    lease = (
        Lease.objects.filter(attempt__job=job, rank=0)
        .order_by("-attempt__number")
        .select_related("device")
        .first()
    )
    return lease.device if lease else None
