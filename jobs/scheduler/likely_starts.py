"""Likely starts of waiting jobs, stored every few seconds."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime

from django.db import DatabaseError
from django.db.models import F
from django.utils import timezone

from jobs.models import Attempt, Job, Pool
from jobs.planning import durations
from jobs.planning.durations import PoolHistory
from jobs.scheduler import start_promises
from jobs.scheduler.policy.likely import LikelyDurations, LikelyStart, latest_with_backfill, likely_starts
from jobs.scheduler.policy.snapshot import PoolSnapshot
from jobs.scheduler.snapshot import take_snapshot
from jobs.states.jobs import ATTEMPT_LIVE, JobState

log = logging.getLogger(__name__)

EVERY_S = 5.0
COST_SHARE = 0.05  # of the time that a long queue may take
HISTORY_EVERY_S = 120.0
ESTIMATED = 500  # jobs whose duration is estimated in one round
WRITES = 500  # jobs whose likely start is written in one round; the others follow in the next ones
TOLERANCE_S, TOLERANCE_SHARE = 10.0, 0.05  # of the wait; a smaller change is not written
REQUIRED = (
    "id", "step", "num_steps", "halt_at_step", "stepped_at", "started_at", "attempt_number", "duration_s",
    "duration_from",
)  # fmt: skip


@dataclass
class LikelyStarts:
    """Refreshes each pool with waiting jobs, a long queue less often."""

    _next_at: dict[str, float] = field(default_factory=dict)
    _histories: dict[str, tuple[float, PoolHistory]] = field(default_factory=dict)

    def refresh_due(self) -> None:
        for pool in Pool.objects.filter(jobs__state=JobState.QUEUED).distinct():
            began = time.monotonic()
            if began >= self._next_at.get(str(pool.id), 0.0):
                try:
                    self.refresh(pool)
                except DatabaseError:
                    raise
                except Exception:  # an estimate that fails must not stop starts
                    log.exception("The starts of pool %s cannot be estimated", pool.name)
                took_s = time.monotonic() - began
                self._next_at[str(pool.id)] = time.monotonic() + max(EVERY_S, took_s / COST_SHARE)

    def refresh(self, pool: Pool) -> int:
        """Estimate the starts of all jobs that wait in the pool. Returns how many were written."""
        estimate_durations(pool, self._history(pool))
        seen = take_snapshot(pool)
        if not seen.waiting:
            return 0
        found = likely_starts(seen, read_durations(pool, seen))
        return _write(pool, found, latest_with_backfill(seen), seen.now)

    def _history(self, pool: Pool) -> PoolHistory:
        read_at, found = self._histories.get(str(pool.id), (0.0, None))
        if found is None or time.monotonic() - read_at > HISTORY_EVERY_S:
            found = durations.read_history(pool)
            self._histories[str(pool.id)] = time.monotonic(), found
        return found


def estimate_durations(pool: Pool, history: PoolHistory) -> int:
    """Estimate the durations of jobs that came in since, those nearest to the head first."""
    new = Job.objects.filter(pool=pool, state=JobState.QUEUED, duration_from={})
    rows = list(
        new.order_by(F("position").asc(nulls_last=True)).only(*REQUIRED, "plan", "time_limit_s")[:ESTIMATED]
    )
    for job in rows:
        found = history.estimate(job.plan, durations.steps_left(job), job.time_limit_s)
        job.duration_s, job.duration_from = found.seconds, found.to_json()
    Job.objects.bulk_update(rows, ["duration_s", "duration_from"], batch_size=200)
    return len(rows)


def read_durations(pool: Pool, seen: PoolSnapshot) -> LikelyDurations:
    """Likely ends of the running attempts and durations of the waiting jobs. Two queries."""
    now = datetime.fromtimestamp(seen.now, UTC)
    jobs = Job.objects.only(*REQUIRED).in_bulk([a.job for a in seen.running]) if seen.running else {}
    attempts = Attempt.objects.filter(job__pool=pool, state__in=ATTEMPT_LIVE).only(
        "id", "number", "job_id", "assigned_at", "started_at", "resumed_from", "phases", "clock"
    )
    ends: dict[int, float | None] = {}
    for attempt in attempts:
        if (job := jobs.get(attempt.job_id)) is not None:
            end = durations.likely_end(job, attempt, now)
            ends[attempt.id] = None if end is None else end.timestamp()
    for running in seen.running:
        if (end_s := ends.get(running.attempt)) is not None and running.ends_at is not None:
            ends[running.attempt] = min(end_s, running.ends_at)
    waiting = Job.objects.filter(pool=pool, state=JobState.QUEUED).order_by()
    return LikelyDurations(ends, dict(waiting.values_list("id", "duration_s")))


def _write(pool: Pool, found: Mapping[str, LikelyStart], backfilled: Mapping[str, float], now: float) -> int:
    queued = Job.objects.filter(pool=pool, state=JobState.QUEUED)
    columns = ("id", "likely_start_at", "likely_start_from")
    rows = queued.order_by(F("position").asc(nulls_last=True)).only(*columns)
    changed = []
    for job in rows:
        start = found.get(job.id)
        if start is None:
            continue
        why = {"before": start.num_before, "unknown": start.num_unknown}
        if (latest := backfilled.get(job.id)) is not None:
            why["latest"] = round(latest)
        if _is_same(job, start.at, why, now):
            continue
        job.likely_start_at = None if start.at is None else datetime.fromtimestamp(start.at, UTC)
        job.likely_start_from = why
        changed.append(job)
        if len(changed) == WRITES:
            break
    _update(changed)
    start_promises.record(pool, timezone.now())
    return len(changed)


def _is_same(job: Job, at: float | None, why: Mapping[str, int], now: float) -> bool:
    written = job.likely_start_at.timestamp() if job.likely_start_at else None
    if not job.likely_start_from or (written is None) != (at is None):
        return False
    if at is None or written is None:
        return bool(job.likely_start_from.get("unknown") == why["unknown"])
    before, latest = job.likely_start_from.get("latest"), why.get("latest")
    tolerance_s = max(TOLERANCE_S, TOLERANCE_SHARE * (at - now))
    is_latest_same = before == latest or (
        None not in (before, latest) and abs(before - latest) <= tolerance_s
    )
    return abs(written - at) <= tolerance_s and is_latest_same


def _update(jobs: Iterable[Job]) -> None:
    """Jobs that have left the queue since keep what they were last promised; nothing shows it."""
    Job.objects.bulk_update(list(jobs), ["likely_start_at", "likely_start_from"], batch_size=200)
