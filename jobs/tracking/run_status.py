"""Status of a run without a job, from its state and its last message."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from jobs.models import Run
from jobs.states.jobs import FINAL, JobState
from jobs.tracking import external_runs

SILENT_AFTER = timedelta(minutes=5)  # training code logs more often, or at least once an epoch


@dataclass(frozen=True)
class ExternalRunStatus:
    state: str  # as last reported
    silent_since: datetime | None  # reported as running, without a message for a while
    took_s: float | None  # None: not started
    lost_because: str = ""  # why it counts as killed


def get_status(run: Run, now: datetime) -> ExternalRunStatus:
    is_over = run.state in FINAL
    last_seen_at = run.last_seen_at or run.created_at
    is_silent = run.state == JobState.RUNNING and now - last_seen_at > SILENT_AFTER
    end = run.ended_at if is_over else last_seen_at if is_silent else now
    took_s = max(0.0, (end - run.started_at).total_seconds()) if run.started_at and end else None
    lost_because = external_runs.loss_reason(run) if run.state == JobState.FAILED else ""
    return ExternalRunStatus(run.state, last_seen_at if is_silent else None, took_s, lost_because)
