"""Measured and unused seconds of leased devices per day."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from datetime import UTC, date, datetime, timedelta

from django.db.models import Q, QuerySet

from jobs.models import Attempt, Lease, Pool

METRIC = "utilisation_pct"
# A reading stands for the time since the one before it, up to twice the slowest cadence of the sampler.
GAP_LIMIT_S = 120.0
UNUSED_AFTER_S = 300.0  # a shorter idle time is not reported

UtilisationReading = tuple[float, float]  # unix time, percent


def record_readings(attempt: Attempt, readings: Mapping[str, Sequence[UtilisationReading]]) -> None:
    """Add the readings of devices (by id) since the last call; call it in the transaction that stores them."""
    below_pct = Pool.objects.values_list("idle_below_pct", flat=True).get(jobs=attempt.job_id)
    for lease in Lease.objects.filter(attempt=attempt, device__in=list(readings)):
        for at, pct in sorted(readings[lease.device_id]):
            _add(lease, datetime.fromtimestamp(at, UTC), pct >= below_pct)
        # One UPDATE per row: bulk_update took twice as long for eight devices, to build its statement.
        Lease.objects.filter(id=lease.id).update(use=lease.use, read_at=lease.read_at, used_at=lease.used_at)


def seconds_by_day(attempt: Attempt) -> dict[date, tuple[float, float]]:
    """Day -> (device-seconds measured, device-seconds unused), summed over all devices of an attempt."""
    found: defaultdict[date, list[float]] = defaultdict(lambda: [0.0, 0.0])
    for use in Lease.objects.filter(attempt=attempt).values_list("use", flat=True):
        for day, (measured_s, unused_s) in use.items():
            sums = found[date.fromisoformat(day)]
            sums[0] += measured_s
            sums[1] += unused_s
    return {day: (measured_s, unused_s) for day, (measured_s, unused_s) in found.items()}


def unused_since(lease: Lease, now: datetime) -> datetime | None:
    """Start of the time for which the device has been held unused; None if it is used or not measured."""
    if lease.read_at is None or (now - lease.read_at).total_seconds() > GAP_LIMIT_S:
        return None
    since = lease.used_at or lease.began_at
    return since if now - since >= timedelta(seconds=UNUSED_AFTER_S) else None


def unused_leases(now: datetime) -> QuerySet[Lease]:
    """Active leases on measured devices that have been unused for at least UNUSED_AFTER_S."""
    before = now - timedelta(seconds=UNUSED_AFTER_S)
    never = Q(used_at=None, began_at__lte=before)
    read_since = now - timedelta(seconds=GAP_LIMIT_S)
    return Lease.objects.filter(never | Q(used_at__lte=before), is_active=True, read_at__gte=read_since)


def _add(lease: Lease, at: datetime, is_used: bool) -> None:
    before = lease.read_at
    if before is not None and at <= before:
        return
    if before is not None and (passed_s := (at - before).total_seconds()) <= GAP_LIMIT_S:
        measured_s, unused_s = lease.use.get(at.date().isoformat(), (0.0, 0.0))
        lease.use[at.date().isoformat()] = [measured_s + passed_s, unused_s + (0.0 if is_used else passed_s)]
    lease.read_at = at
    if is_used:
        lease.used_at = at
