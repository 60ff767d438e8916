"""What a page says of a job's progress: only what can be derived from rows, else nothing."""

from __future__ import annotations

import math
from dataclasses import dataclass
from datetime import datetime

from jobs.models import Job, Run
from jobs.states import JobState

# Shown beside the progress bar, in this order; each is a metric of scope run.
KEY_FIGURES = ("loss", "validation_loss", "tokens_per_s", "step_s", "mfu_share", "tokens")


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


def progress(job: Job, run: Run | None, now: datetime) -> Progress:
    """Share of the steps done, and the time left at the pace so far."""
    if job.started_at is None:
        return Progress(job.progress_share, None, None)
    elapsed_s = max(0.0, ((job.ended_at or now) - job.started_at).total_seconds())
    eta_s = None
    if job.state == JobState.RUNNING and 0 < job.step < job.num_steps:
        pace_s = _pace_s(job, run, elapsed_s)
        eta_s = None if pace_s is None else pace_s * (job.num_steps - job.step)
    return Progress(job.progress_share, eta_s, elapsed_s)


def key_figures(run: Run) -> list[KeyFigure]:
    """The newest values of a run, each absent one with the reason that was recorded for it."""
    missing = run.missing.get("run", {})
    figures = []
    for name in KEY_FIGURES:
        status, reason = missing.get(name, ("absent", ""))
        value = run.headline.get(name)
        figures.append(KeyFigure(name, value) if value is not None else KeyFigure(name, None, status, reason))
    return figures


def _pace_s(job: Job, run: Run | None, elapsed_s: float) -> float | None:
    """Seconds a step. A resumed job did some of its steps before this clock, so only the newest step counts."""
    if job.attempt_number <= 1 and job.step > 1 and elapsed_s > 0:
        return elapsed_s / (job.step - 1)
    newest = run.headline.get("step_s") if run else None
    return newest if isinstance(newest, int | float) and math.isfinite(newest) else None
