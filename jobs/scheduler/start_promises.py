"""Starts promised to waiting jobs, against what happened."""

from __future__ import annotations

import statistics
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.db.models import Exists, F, Max, OuterRef, Q, Subquery

from jobs.models import Attempt, Job, Pool, StartPromise
from jobs.queue.start_times import get_start_times
from jobs.states.jobs import JobState

EVERY = timedelta(hours=1)
RECORDED = 200  # promises of one round, nearest to the head first
SETTLED = 500
KEPT = timedelta(days=180)
READ = 5000  # newest settled promises of the accuracy page
LEAST_WAIT_S = 60.0  # an error is a share of the wait, and of a shorter wait a share of this
LATE_S = 5.0  # after the latest start, before it counts as broken


@dataclass(frozen=True)
class StartAccuracy:
    """Errors of settled promises of one range of waits."""

    title: str
    n: int
    num_without: int  # without a likely time
    median_share: float | None  # of |likely - real| over the wait
    p90_share: float | None
    median_s: float | None
    bias_s: float | None  # + is promised too late
    latest_median_s: float | None  # the same of the latest time, for comparison
    num_broken: int  # started after the latest time
    num_latest: int

    @property
    def bias_text(self) -> str:
        """'12 s late', of the promise."""
        if self.bias_s is None or abs(self.bias_s) < 1:
            return "none"
        return f"{abs(self.bias_s):,.0f} s {'late' if self.bias_s > 0 else 'early'}"


RANGES = (
    ("Waits under 5 minutes", 0.0, 300.0),
    ("5 minutes to 1 hour", 300.0, 3600.0),
    ("1 hour to 1 day", 3600.0, 86400.0),
    ("Longer than 1 day", 86400.0, float("inf")),
)


def record(pool: Pool, now: datetime) -> int:
    """Store what people see now for jobs without a promise in the last hour."""
    last = StartPromise.objects.filter(job=OuterRef("pk")).values("job")
    waiting = Job.objects.filter(pool=pool, state=JobState.QUEUED).exclude(likely_start_from={})
    due = waiting.annotate(last=Subquery(last.annotate(at=Max("promised_at")).values("at"))).filter(
        Q(last=None) | Q(last__lte=now - EVERY)
    )
    columns = ("id", "expected_start_at", "likely_start_at", "likely_start_from")
    rows = []
    for job in due.order_by(F("position").asc(nulls_last=True)).only(*columns)[:RECORDED]:
        times = get_start_times(job)
        rows.append(StartPromise(job=job, promised_at=now, likely_at=times.likely, latest_at=times.latest))
    StartPromise.objects.bulk_create(rows, ignore_conflicts=True)
    return len(rows)


def settle(now: datetime) -> int:
    """Give open promises the start that followed; void those of jobs that left the queue without one. Returns how many
    were settled."""
    first = Attempt.objects.filter(job=OuterRef("job"), assigned_at__gte=OuterRef("promised_at"))
    started = first.order_by("number").values("assigned_at")[:1]
    is_open = StartPromise.objects.filter(started_at=None, is_void=False)
    left = is_open.exclude(job__state=JobState.QUEUED) | is_open.filter(Exists(first))
    ids = list(left.values_list("id", flat=True)[:SETTLED])
    chosen = StartPromise.objects.filter(id__in=ids)
    chosen.update(started_at=Subquery(started))
    chosen.filter(started_at=None).update(is_void=True)
    StartPromise.objects.filter(promised_at__lt=now - KEPT).delete()
    return len(ids)


def summarise() -> list[StartAccuracy]:
    """Errors by the length of the wait, of the newest settled promises; ranges without one are left out."""
    rows: list[Any] = list(
        StartPromise.objects.filter(started_at__isnull=False)
        .order_by("-promised_at")
        .values_list("promised_at", "likely_at", "latest_at", "started_at")[:READ]
    )
    found = [_summarise(title, _between(rows, low, high)) for title, low, high in RANGES]
    return [one for one in found if one.n]


Row = tuple[datetime, datetime | None, datetime | None, datetime]


def _between(rows: list[Row], low: float, high: float) -> list[Row]:
    return [row for row in rows if low <= (row[3] - row[0]).total_seconds() < high]


def _summarise(title: str, rows: list[Row]) -> StartAccuracy:
    likely = [
        ((at - real).total_seconds(), (real - then).total_seconds()) for then, at, _, real in rows if at
    ]
    latest = [(at - real).total_seconds() for _, _, at, real in rows if at]
    shares = sorted(abs(error) / max(wait, LEAST_WAIT_S) for error, wait in likely)
    return StartAccuracy(
        title=title,
        n=len(rows),
        num_without=len(rows) - len(likely),
        median_share=statistics.median(shares) if shares else None,
        p90_share=shares[min(len(shares) - 1, int(0.9 * len(shares)))] if shares else None,
        median_s=statistics.median(abs(error) for error, _ in likely) if likely else None,
        bias_s=statistics.median(error for error, _ in likely) if likely else None,
        latest_median_s=statistics.median(abs(error) for error in latest) if latest else None,
        num_broken=sum(error < -LATE_S for error in latest),
        num_latest=len(latest),
    )
