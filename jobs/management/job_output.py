"""Output of commands about a job: plain values for scripts, one line for people."""

from __future__ import annotations

from typing import Any

from django.conf import settings

from engine.directory import checkpoint_step
from engine.telemetry.metrics import START_PHASES
from jobs import series
from jobs.models import Attempt, Job, Run

SHOWN_METRICS = ("loss", "validation_loss", "tokens_per_s")


def job_summary(job: Job) -> dict[str, Any]:
    """Ids, state and URL of a job."""
    return {
        "job": job.id,
        "run": job.run.id,
        "state": job.state,
        "step": job.step,
        "url": f"{settings.BASE_URL}/runs/{job.run.id}/",
    }


def run_summary(run: Run) -> dict[str, Any]:
    """Ids, state, URL and metrics of a run without a job."""
    return {
        "job": None,
        "run": run.id,
        "state": run.state,
        "url": f"{settings.BASE_URL}/runs/{run.id}/",
        "name": run.name,
        "owner": run.owner.get_username(),
        "metrics": newest_metrics(run),
    }


def newest_metrics(run: Run) -> dict[str, float | str]:
    """The newest value of each metric."""
    return series.plain(series.newest([run.id]).get(run.id, {}))


def job_details(job: Job, attempt: Attempt | None) -> dict[str, Any]:
    """All values that scripts need; `attempt` is the newest one."""
    phases = attempt.phases if attempt else {}
    return job_summary(job) | {
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
        "likely_start_at": job.likely_start_at.isoformat() if job.likely_start_at else None,
        "reason": job.reason,
        "metrics": newest_metrics(job.run),
    }


def progress_line(job: Job) -> str:
    """'running 40/150  loss 4.21', or why the job waits."""
    if job.waiting_reason and not job.step:
        return f"{job.state}: {job.waiting_reason}"
    return "  ".join([f"{job.state} {job.step}/{job.num_steps}", *metric_texts(job.run)])


def metric_texts(run: Run) -> list[str]:
    found = series.newest([run.id], SHOWN_METRICS).get(run.id, {})
    return [f"{name} {found[name]:.4g}" for name in SHOWN_METRICS if name in found]
