"""What a page says of a job's progress: only what can be derived from rows, else nothing."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from jobs.models import Job, Run
from jobs.states.jobs import JobState

# Shown beside the progress bar, in this order; each is a metric of scope run.
KEY_FIGURES = ("loss", "validation_loss", "tokens_per_s", "step_s", "mfu_share", "tokens")

OF_LINKS = ("message_bytes", "backend_bus_bytes_per_s", "ring_bus_bytes_per_s", "send_bus_bytes_per_s")


@dataclass(frozen=True)
class Progress:
    share: float
    eta_s: float | None  # None: cannot be derived
    elapsed_s: float | None  # since the first step, or None before it


@dataclass(frozen=True)
class KeyFigure:
    name: str
    value: object | None
    status: str = ""
    reason: str = ""  # why the value is absent; empty while it may still come


def progress(job: Job, now: datetime, step_s: float | None) -> Progress:
    """Share of the steps done, and the time left at the pace so far. `step_s`: how long the newest step took."""
    if job.started_at is None:
        return Progress(job.progress_share, None, None)
    elapsed_s = max(0.0, ((job.ended_at or now) - job.started_at).total_seconds())
    eta_s = None
    if job.state == JobState.RUNNING and 0 < job.step < job.num_steps:
        pace_s = _pace_s(job, step_s, elapsed_s)
        eta_s = None if pace_s is None else pace_s * (job.num_steps - job.step)
    return Progress(job.progress_share, eta_s, elapsed_s)


def key_figures(run: Run, newest: Mapping[str, float]) -> list[KeyFigure]:
    """The newest values of a run, each absent one with the reason that was recorded for it."""
    missing = run.missing.get("run", {})
    figures = []
    for name in OF_LINKS if run.spec.get("kind") == "fabric_test" else KEY_FIGURES:
        status, reason = missing.get(name, ("absent", ""))
        value = newest.get(name)
        figures.append(KeyFigure(name, value) if value is not None else KeyFigure(name, None, status, reason))
    return figures


def _pace_s(job: Job, step_s: float | None, elapsed_s: float) -> float | None:
    """Seconds a step. A resumed job did some of its steps before this clock, so only the newest step counts."""
    if job.attempt_number <= 1 and job.step > 1 and elapsed_s > 0:
        return elapsed_s / (job.step - 1)
    return step_s if step_s is not None and math.isfinite(step_s) else None
