"""Attempts that hold devices and use none of them: warned, put off once by a person, then stopped at a checkpoint.

A device that is not measured is never called idle, nor is an attempt that makes steps, however slow they are.
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
from jobs.scheduler.policy.reasons import clock, devices
from jobs.states.jobs import AttemptState, JobState, StateError

ACTOR = "scheduler"
HOLDING = (JobState.STARTING, JobState.RUNNING)
POINTS = 600  # of a window: finer is of no use for a mean
GAP_SHARE = 0.1  # of the window, that may be without readings; in more than that anything may have happened


def look_after_all() -> None:
    """Costs two queries while nobody holds devices without making steps; else one read of a window for each who does.
    Several schedulers may do it at once."""
    now = timezone.now()
    for pool in Pool.objects.filter(idle_after_s__isnull=False):
        for attempt in _suspects(pool, now):
            _judge(pool, attempt, now)
    for job in Job.objects.filter(idle_stop_at__isnull=False, pool__idle_after_s=None):
        _withdraw(job, "Its pool does not look for idle devices any more")


def extend(job: Job, actor: str) -> Job:
    """Let it hold its devices longer, once. Raises StateError where no warning stands, or that was done already."""
    pool = job.pool
    with transaction.atomic():
        warned = Job.objects.filter(
            id=job.id, state__in=HOLDING, idle_stop_at__isnull=False, idle_extended_by=""
        )
        longer = timedelta(seconds=pool.idle_extension_s)
        if warned.update(idle_stop_at=F("idle_stop_at") + longer, idle_extended_by=actor[:150]):
            now = Job.objects.get(id=job.id)
            assert now.idle_stop_at is not None
            said = f"Keeps its devices until {_clock(now.idle_stop_at)}, unused or not: extended by {actor}."
            _note(now, actor, said)
            return now
    current = Job.objects.get(id=job.id)
    if current.idle_extended_by:
        raise StateError(
            f"Job {job.id} has been extended once already, by {current.idle_extended_by}; that goes once."
        )
    raise StateError(f"Job {job.id} is {current.state} and has not been warned: there is nothing to extend.")


def _suspects(pool: Pool, now: datetime) -> Iterable[Attempt]:
    """Older than the window, and without a step in it; and all that are warned, to see whether they still are idle."""
    assert pool.idle_after_s is not None
    since = now - timedelta(seconds=pool.idle_after_s)
    silent = Q(job__stepped_at=None) | Q(job__stepped_at__lt=since) | Q(job__idle_stop_at__isnull=False)
    return Attempt.objects.filter(
        silent, job__pool=pool, job__state__in=HOLDING, started_at__lt=since, number=F("job__attempt_number"),
        state__in=(AttemptState.STARTING, AttemptState.RUNNING),
    ).select_related("job__run")  # fmt: skip


def _judge(pool: Pool, attempt: Attempt, now: datetime) -> None:
    assert pool.idle_after_s is not None
    job, since = attempt.job, now - timedelta(seconds=pool.idle_after_s)
    most_pct = None if job.stepped_at and job.stepped_at >= since else _busiest(attempt, since, now)
    if most_pct is None or most_pct >= pool.idle_below_pct:
        if job.idle_stop_at is not None:
            _withdraw(job, "Its devices are used again, or not measured any more")
    elif job.idle_stop_at is None:
        _warn(pool, job, most_pct, now)
    elif job.idle_stop_at <= now:
        _stop(pool, job, most_pct)


def _busiest(attempt: Attempt, since: datetime, now: datetime) -> float | None:
    """Mean utilisation over the window (percent) of the device that was used most; None where some device was not
    measured all the time."""
    held = Lease.objects.filter(attempt=attempt, is_active=True).values_list("device_id", flat=True)
    lo, hi = since.timestamp(), now.timestamp()
    found = series.read([attempt.job.run.id], [METRIC], x="time", points=POINTS, lo=lo, hi=hi)
    means = {one.source: _mean(one, lo, hi) for one in found}
    wanted = [means.get(f"device:{device}") for device in held]
    known = [mean for mean in wanted if mean is not None]
    return max(known) if known and len(known) == len(wanted) else None


def _mean(one: series.Series, lo: float, hi: float) -> float | None:
    """None where a part of the window is without a reading."""
    finite = np.isfinite(one.mean)
    if not finite.any():
        return None
    borders = np.concatenate(([lo], one.x[finite], [hi]))
    if np.diff(borders).max() > GAP_SHARE * (hi - lo):
        return None
    return float(np.average(one.mean[finite], weights=one.counts[finite]))


@transaction.atomic
def _warn(pool: Pool, job: Job, most_pct: float, now: datetime) -> None:
    stop_at = now + timedelta(seconds=pool.idle_warn_s)
    if _standing(job).update(idle_stop_at=stop_at):
        said = (
            f"{_found(pool, job, most_pct)} It is stopped at {_clock(stop_at)}, with a checkpoint, unless they are "
            f"used again; that can be put off once, by {setting_types.format_duration(pool.idle_extension_s)}."
        )
        _note(job, ACTOR, said, "warning")


@transaction.atomic
def _withdraw(job: Job, why: str) -> None:
    if _standing(job).update(idle_stop_at=None):
        _note(job, ACTOR, f"{why}: it is not stopped.")


@transaction.atomic
def _stop(pool: Pool, job: Job, most_pct: float) -> None:
    """Whoever has put it off meanwhile wins: the moment it was judged by no longer stands."""
    if _standing(job).update(idle_stop_at=None):
        stopping.stop(job, JobState.CANCELLED, ACTOR, f"{_found(pool, job, most_pct)} It was warned.")


def _standing(job: Job) -> QuerySet[Job]:
    """The job as it was judged: holding its devices, in the same attempt, warned or not in the same way."""
    return Job.objects.filter(
        id=job.id, state__in=HOLDING, attempt_number=job.attempt_number, idle_stop_at=job.idle_stop_at
    )


def _found(pool: Pool, job: Job, most_pct: float) -> str:
    span = setting_types.format_duration(pool.idle_after_s)
    held = devices(job.num_devices)
    return f"Holds {held} without using them: {most_pct:.1f} % at the most over {span}, and no step."


def _note(job: Job, actor: str, text: str, level: str = "info") -> None:
    Event.objects.create(
        job=job, attempt_number=job.attempt_number, actor=actor, kind=f"note.{level}", text=text
    )


def _clock(at: datetime) -> str:
    return clock(at.timestamp())
