"""Progress and key figures of a job, as far as its rows allow to derive them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from jobs.models import Job, Run
from jobs.queue.start_times import EndTimes
from jobs.states.jobs import JobState

# Metrics of scope run that are shown beside the build_progress bar, in this order
KEY_METRICS = (
    "loss",
    "validation_loss",
    "tokens_per_s",
    "clock_tokens_per_s",
    "step_s",
    "mfu_share",
    "tokens",
)
# The same for a fabric test
LINK_METRICS = ("message_bytes", "backend_bus_bytes_per_s", "ring_bus_bytes_per_s", "send_bus_bytes_per_s")


@dataclass(frozen=True)
class JobProgress:
    share: float
    eta_s: float | None  # None: cannot be derived
    elapsed_s: float | None  # since the first step, or None before it
    meets_limit: bool = False  # by its pace it reaches its time limit before its last step


@dataclass(frozen=True)
class KeyFigure:
    name: str
    value: object | None
    status: str = ""
    reason: str = ""  # why the value is absent; empty while a value may still come


def build_progress(job: Job, now: datetime, ends: EndTimes | None) -> JobProgress:
    """Return the share of the steps that are done, and the remaining time. `ends`: of a running job."""
    if job.started_at is None:
        return JobProgress(job.progress_share, None, None)
    elapsed_s = max(0.0, ((job.ended_at or now) - job.started_at).total_seconds())
    eta_s = None
    if ends is not None and job.state == JobState.RUNNING and 0 < job.step < job.num_steps:
        eta_s = ends.left_s(now)
    meets_limit = eta_s is not None and ends is not None and ends.meets_limit
    return JobProgress(job.progress_share, eta_s, elapsed_s, meets_limit)


def build_key_figures(run: Run, newest: Mapping[str, float]) -> list[KeyFigure]:
    """Return the newest values of a run; an absent one has the reason that was recorded for it."""
    missing = run.missing.get("run", {})
    figures = []
    for name in LINK_METRICS if run.spec.get("kind") == "fabric_test" else KEY_METRICS:
        status, reason = missing.get(name, ("absent", ""))
        value = newest.get(name)
        figures.append(KeyFigure(name, value) if value is not None else KeyFigure(name, None, status, reason))
    return figures
