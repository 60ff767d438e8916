"""Likely and latest times of the start and end of jobs."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from django.utils import timezone

from engine.spec.spec import Spec
from jobs.lifecycle.deadlines import ends_by
from jobs.models import Attempt, Job, Pool
from jobs.planning import durations
from jobs.planning.durations import Duration
from jobs.states.jobs import ATTEMPT_LIVE, JobState

NOT_SIMULATED = "The scheduler has not estimated it yet."
NOTHING_KNOWN = (
    "No pace yet: {unknown:,} of the {before:,} jobs before it have neither steps, nor a planned step time."
)
NO_START = "No job before it is known to release what it needs."
MINUTE, HOUR, DAY = 60, 3600, 86400


@dataclass(frozen=True)
class StartTimes:
    """Times of start of a waiting job. `why_not`: why nothing is likely, if there is no likely time."""

    likely: datetime | None
    latest: datetime | None
    why_not: str = ""


@dataclass(frozen=True)
class EndTimes:
    """Times of end of a live attempt. `source`: of the likely one, or why there is none."""

    likely: datetime | None
    latest: datetime
    source: str
    meets_limit: bool = False  # by its pace it needs longer than its time limit

    def left_s(self, now: datetime) -> float | None:
        return None if self.likely is None else max(0.0, (self.likely - now).total_seconds())


@dataclass(frozen=True)
class LimitWarning:
    """A job that likely needs more than its time limit, and what would have to change."""

    likely_s: float
    limit_s: int
    proposed_limit_s: int
    proposed_steps: int
    source: str

    @property
    def sentence(self) -> str:
        return (
            f"It likely needs {_text(self.likely_s)} ({self.source}), more than its time limit of {_text(self.limit_s)}"
            f": it would end unfinished. Raise the limit to {_text(self.proposed_limit_s)}, or reduce what is left to "
            f"{self.proposed_steps:,} steps."
        )


def get_start_times(job: Job) -> StartTimes:
    """The likely start is never after the latest; the latest is never before what backfill allows."""
    found = job.likely_start_from
    latest = job.expected_start_at
    if latest is not None and (backfilled := found.get("latest")):
        latest = max(latest, datetime.fromtimestamp(backfilled, UTC))
    likely = job.likely_start_at
    if likely is not None:
        return StartTimes(min(likely, latest) if latest is not None else likely, latest)
    if not found:
        return StartTimes(None, latest, NOT_SIMULATED)
    return StartTimes(None, latest, NOTHING_KNOWN.format(**found) if found["unknown"] else NO_START)


def get_end_times(attempt: Attempt, now: datetime | None = None) -> EndTimes:
    """Reads attempt.job."""
    now = now or timezone.now()
    latest, left = ends_by(attempt), durations.left_of_attempt(attempt.job, attempt, now)
    if left.seconds is None:
        return EndTimes(None, latest, left.source)
    likely = now + timedelta(seconds=min(left.seconds, 1e9))
    return EndTimes(min(likely, latest), latest, left.source, meets_limit=likely > latest)


def get_live_end_times(jobs: Iterable[Job], now: datetime) -> dict[str, EndTimes]:
    """Job -> end times of its live attempt. One query."""
    running = {job.id: job for job in jobs if job.state in (JobState.STARTING, JobState.RUNNING)}
    found = {}
    for attempt in Attempt.objects.filter(job__in=list(running), state__in=ATTEMPT_LIVE):
        attempt.job = running[attempt.job_id]
        found[attempt.job_id] = get_end_times(attempt, now)
    return found


def check_limit(found: Duration, num_steps: int, limit_s: int) -> LimitWarning | None:
    """The warning for a job with `num_steps` steps to do; None if it fits or nothing is known."""
    if found.seconds is None or found.seconds <= limit_s or found.code == "shares":
        return None
    proposed_s = math.ceil(found.seconds * (1 + durations.SPARE_SHARE) / MINUTE) * MINUTE
    steps = max(1, int(num_steps * limit_s / found.seconds / (1 + durations.SPARE_SHARE)))
    return LimitWarning(found.seconds, limit_s, proposed_s, steps, found.source)


def estimate_at_submit(spec: Spec, plan: Mapping[str, Any], pool: Pool) -> Duration:
    """The likely duration of a job of this spec. One query."""
    return durations.read_history(pool).estimate(plan, spec.num_steps, spec.budget.limit_s)


def duration_columns(spec: Spec, plan: Mapping[str, Any], pool: Pool) -> dict[str, Any]:
    """The columns of a new job that hold its likely duration."""
    found = estimate_at_submit(spec, plan, pool)
    return {"duration_s": found.seconds, "duration_from": found.to_json()}


def check_spec_limit(spec: Spec, plan: Mapping[str, Any], pool: Pool) -> LimitWarning | None:
    """The warning for a spec before it is submitted."""
    return check_limit(estimate_at_submit(spec, plan, pool), spec.num_steps, spec.budget.limit_s)


def check_job_limit(job: Job, attempt: Attempt | None, now: datetime | None = None) -> LimitWarning | None:
    """The warning for a job in the queue, or by the pace of its live attempt."""
    steps = durations.steps_left(job)
    if attempt is None:
        stored = Duration(
            job.duration_s, job.duration_from.get("code", "none"), job.duration_from.get("n", 0)
        )
        return check_limit(stored, steps, job.time_limit_s)
    now = now or timezone.now()
    left = durations.left_of_attempt(job, attempt, now)
    available_s = (ends_by(attempt) - now).total_seconds()
    if left.seconds is None or left.code == "shares" or left.seconds <= available_s or available_s <= 0:
        return None
    held_s = job.time_limit_s - available_s
    proposed_s = math.ceil((held_s + left.seconds) * (1 + durations.SPARE_SHARE) / MINUTE) * MINUTE
    left_steps = max(1, int(steps * available_s / left.seconds))
    return LimitWarning(held_s + left.seconds, job.time_limit_s, proposed_s, left_steps, left.source)


def _text(seconds: float) -> str:
    """'3 h 20 min': the two largest units."""
    units = ((DAY, "d"), (HOUR, "h"), (MINUTE, "min"), (1, "s"))
    left, parts = round(seconds), []
    for size, name in units:
        if left >= size:
            parts.append(f"{left // size} {name}")
            left %= size
    return " ".join(parts[:2]) or "0 s"
