"""Idle culling: stops attempts that hold devices without using them.

The job is warned first. A person may extend the time once. Then the attempt stops at a checkpoint and the job is
cancelled. A device without readings never counts as idle, nor does an attempt that makes steps, however slow.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timedelta

import numpy as np
from django.db import transaction
from django.db.models import F, Q, QuerySet
from django.utils import timezone

from jobs import series
from jobs.accounting.utilisation import METRIC
from jobs.lifecycle import stopping
from jobs.models import Attempt, Event, Job, Lease, Pool
from jobs.pools import setting_types
from jobs.scheduler.policy.reasons import format_devices, format_time
from jobs.states.jobs import AttemptState, JobState, StateError

ACTOR = "scheduler"
HOLDING = (JobState.STARTING, JobState.RUNNING)
POINTS = 600  # per window, enough for a mean
GAP_SHARE = 0.1  # longest gap without readings, as a share of the window


def reconcile() -> None:
    """Warn, stop or clear the attempts of all pools that check for idle devices.

    Several schedulers may call it at once. Costs two queries, plus one read of a window for each attempt that holds
    devices without making steps.
    """
    now = timezone.now()
    for pool in Pool.objects.filter(idle_after_s__isnull=False):
        for attempt in _list_candidates(pool, now):
            _reconcile_attempt(pool, attempt, now)
    for job in Job.objects.filter(idle_stop_at__isnull=False, pool__idle_after_s=None):
        _withdraw(job, "Its pool does not check for idle devices any more")


def extend(job: Job, actor: str) -> Job:
    """Let a warned job hold its devices longer, once. Raises StateError if it was not warned, or extended before."""
    pool = job.pool
    with transaction.atomic():
        warned = Job.objects.filter(
            id=job.id, state__in=HOLDING, idle_stop_at__isnull=False, idle_extended_by=""
        )
        longer = timedelta(seconds=pool.idle_extension_s)
        if warned.update(idle_stop_at=F("idle_stop_at") + longer, idle_extended_by=actor[:150]):
            now = Job.objects.get(id=job.id)
            assert now.idle_stop_at is not None
            text = (
                f"Keeps its devices until {_format_time(now.idle_stop_at)}, used or not: extended by {actor}."
            )
            _record_event(now, actor, text)
            return now
    current = Job.objects.get(id=job.id)
    if current.idle_extended_by:
        raise StateError(
            f"Job {job.id} was extended once already, by {current.idle_extended_by}; it can be extended only once."
        )
    raise StateError(f"Job {job.id} is {current.state} and has not been warned, so it cannot be extended.")


def _list_candidates(pool: Pool, now: datetime) -> Iterable[Attempt]:
    """Return attempts older than the window without a step in it, and all attempts of warned jobs."""
    assert pool.idle_after_s is not None
    since = now - timedelta(seconds=pool.idle_after_s)
    silent = Q(job__stepped_at=None) | Q(job__stepped_at__lt=since) | Q(job__idle_stop_at__isnull=False)
    return Attempt.objects.filter(
        silent, job__pool=pool, job__state__in=HOLDING, started_at__lt=since, number=F("job__attempt_number"),
        state__in=(AttemptState.STARTING, AttemptState.RUNNING),
    ).select_related("job__run")  # fmt: skip


def _reconcile_attempt(pool: Pool, attempt: Attempt, now: datetime) -> None:
    assert pool.idle_after_s is not None
    job, since = attempt.job, now - timedelta(seconds=pool.idle_after_s)
    most_pct = (
        None if job.stepped_at and job.stepped_at >= since else _max_utilisation_pct(attempt, since, now)
    )
    if most_pct is None or most_pct >= pool.idle_below_pct:
        if job.idle_stop_at is not None:
            _withdraw(job, "Its devices are used again, or have no readings any more")
    elif job.idle_stop_at is None:
        _warn(pool, job, most_pct, now)
    elif job.idle_stop_at <= now:
        _stop(pool, job, most_pct)


def _max_utilisation_pct(attempt: Attempt, since: datetime, now: datetime) -> float | None:
    """Return the mean utilisation over the window (percent) of the busiest device of the attempt.

    None if a device has no readings for a part of the window.
    """
    held = Lease.objects.filter(attempt=attempt, is_active=True).values_list("device_id", flat=True)
    lo, hi = since.timestamp(), now.timestamp()
    found = series.read([attempt.job.run.id], [METRIC], x="time", points=POINTS, lo=lo, hi=hi)
    means = {one.source: _mean(one, lo, hi) for one in found}
    by_device = [means.get(f"device:{device}") for device in held]
    known = [mean for mean in by_device if mean is not None]
    return max(known) if known and len(known) == len(by_device) else None


def _mean(one: series.Series, lo: float, hi: float) -> float | None:
    """Return the mean over the window; None if a gap without readings is longer than GAP_SHARE of it."""
    finite = np.isfinite(one.mean)
    if not finite.any():
        return None
    times = np.concatenate(([lo], one.x[finite], [hi]))
    if np.diff(times).max() > GAP_SHARE * (hi - lo):
        return None
    return float(np.average(one.mean[finite], weights=one.counts[finite]))


@transaction.atomic
def _warn(pool: Pool, job: Job, most_pct: float, now: datetime) -> None:
    stop_at = now + timedelta(seconds=pool.idle_warn_s)
    if _unchanged(job).update(idle_stop_at=stop_at):
        extension = setting_types.format_duration(pool.idle_extension_s)
        text = (
            f"{_describe(pool, job, most_pct)} It is stopped at {_format_time(stop_at)}, with a checkpoint, unless it "
            f"uses them again; this can be extended once, by {extension}."
        )
        _record_event(job, ACTOR, text, "warning")


@transaction.atomic
def _withdraw(job: Job, why: str) -> None:
    if _unchanged(job).update(idle_stop_at=None):
        _record_event(job, ACTOR, f"{why}: it is not stopped.")


@transaction.atomic
def _stop(pool: Pool, job: Job, most_pct: float) -> None:
    """Stop the job, unless a person has extended its time since it was read."""
    if _unchanged(job).update(idle_stop_at=None):
        stopping.stop(job, JobState.CANCELLED, ACTOR, f"{_describe(pool, job, most_pct)} It was warned.")


def _unchanged(job: Job) -> QuerySet[Job]:
    """Return the job's row if it still holds its devices in the same attempt, with the same warning."""
    return Job.objects.filter(
        id=job.id, state__in=HOLDING, attempt_number=job.attempt_number, idle_stop_at=job.idle_stop_at
    )


def _describe(pool: Pool, job: Job, most_pct: float) -> str:
    span = setting_types.format_duration(pool.idle_after_s)
    held = format_devices(job.num_devices)
    return f"Holds {held} without using them: at most {most_pct:.1f} % over {span}, and no step."


def _record_event(job: Job, actor: str, text: str, level: str = "info") -> None:
    Event.objects.create(
        job=job, attempt_number=job.attempt_number, actor=actor, kind=f"note.{level}", text=text
    )


def _format_time(at: datetime) -> str:
    return format_time(at.timestamp())
