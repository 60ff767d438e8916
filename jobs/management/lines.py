"""What the command line says of a job: plain values for scripts, one line for people."""

from __future__ import annotations

from typing import Any

from django.conf import settings

from engine.directory import checkpoint_step
from engine.telemetry.metrics import START_PHASES
from jobs import series
from jobs.models import Attempt, Job, Run

SHOWN_METRICS = ("loss", "validation_loss", "tokens_per_s")


def short(job: Job) -> dict[str, Any]:
    """Who it is, how it stands, where it is shown."""
    return {
        "job": job.id,
        "run": job.run.id,
        "state": job.state,
        "step": job.step,
        "url": f"{settings.BASE_URL}/runs/{job.run.id}/",
    }


def of_run(run: Run) -> dict[str, Any]:
    """A run that has no job."""
    return {
        "job": None,
        "run": run.id,
        "state": run.state,
        "url": f"{settings.BASE_URL}/runs/{run.id}/",
        "name": run.name,
        "owner": run.owner.get_username(),
        "metrics": metrics(run),
    }


def metrics(run: Run) -> dict[str, float | str]:
    """The newest value of each metric."""
    return series.plain(series.newest([run.id]).get(run.id, {}))


def full(job: Job, attempt: Attempt | None) -> dict[str, Any]:
    """All that scripts ask for; `attempt` is the newest one."""
    phases = attempt.phases if attempt else {}
    return short(job) | {
        "name": job.name,
        "pool": job.pool.name,
        "owner": job.owner.get_username(),
        "steps": job.num_steps,
        "submitted_at": job.submitted_at.isoformat(),
        "attempt": attempt.number if attempt else None,
        "resumed_from_step": checkpoint_step(attempt.resumed_from) if attempt else None,
        "phases": {name: phases[name] for name in START_PHASES if name in phases},
        "priority": job.get_priority_display(),
        "waiting_reason": job.waiting_reason,
        "waiting_for": job.waiting_for,
        "position": job.position,
        "expected_start_at": job.expected_start_at.isoformat() if job.expected_start_at else None,
        "reason": job.reason,
        "metrics": metrics(job.run),
    }


def progress(job: Job) -> str:
    """'running 40/150  loss 4.21', or why it waits."""
    if job.waiting_reason and not job.step:
        return f"{job.state}: {job.waiting_reason}"
    return "  ".join([f"{job.state} {job.step}/{job.num_steps}", *metrics_of(job.run)])


def metrics_of(run: Run) -> list[str]:
    found = series.newest([run.id], SHOWN_METRICS).get(run.id, {})
    return [f"{name} {found[name]:.4g}" for name in SHOWN_METRICS if name in found]
