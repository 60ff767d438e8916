"""What an ended attempt has cost its team: one charge a month, and the team's decayed use of the pool."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime

from django.conf import settings

from jobs.models import Attempt, Charge, Share
from jobs.states import AttemptState


def charge(attempt: Attempt) -> None:
    """Book an attempt that has just got its terminal state; call it in the same transaction. Devices count from the
    moment they were leased to the moment they came back. Nobody pays for a machine: work lost with a node (state
    lost) is booked as waste like any other, so that sums agree with the leases."""
    job, ended_at = attempt.job, attempt.ended_at
    assert ended_at is not None
    months = dict(_months(attempt.assigned_at, ended_at))
    wasted_s = dict(_months(_useful_until(attempt, ended_at), ended_at))
    Charge.objects.bulk_create(
        Charge(
            attempt=attempt, team_id=job.team_id, pool_id=job.pool_id, month=month,
            device_s=seconds * job.num_devices, wasted_device_s=wasted_s.get(month, 0.0) * job.num_devices,
        )
        for month, seconds in months.items()
    )  # fmt: skip
    Share.objects.get_or_create(team_id=job.team_id, pool_id=job.pool_id)
    share = Share.objects.select_for_update().get(team_id=job.team_id, pool_id=job.pool_id)
    share.used_device_s = decayed(share, ended_at) + sum(months.values()) * job.num_devices
    share.used_at = ended_at
    newest = max(months, default="")
    if newest > share.month:
        share.month, share.month_device_s = newest, 0.0
    share.month_device_s += months.get(share.month, 0.0) * job.num_devices
    share.save(update_fields=["used_device_s", "used_at", "month", "month_device_s"])


def decayed(share: Share, now: datetime) -> float:
    """Device-seconds used, each counting half as much after every half-life."""
    if share.used_at is None:
        return share.used_device_s
    age_s = max(0.0, (now - share.used_at).total_seconds())
    return share.used_device_s * 0.5 ** (age_s / settings.SHARE_HALF_LIFE_S)


def budget_left(share: Share, now: datetime) -> float | None:
    """Of this month's budget, before what runs now is counted; None: there is no budget."""
    if share.monthly_budget_device_s is None:
        return None
    return share.monthly_budget_device_s - (share.month_device_s if share.month == month_of(now) else 0.0)


def month_of(at: datetime) -> str:
    return at.astimezone(UTC).strftime("%Y-%m")


def _useful_until(attempt: Attempt, ended_at: datetime) -> datetime:
    """What an attempt did up to its last checkpoint is kept; one that succeeded wasted nothing, and one that ended
    without a checkpoint everything since it began to hold devices."""
    if attempt.state == AttemptState.SUCCEEDED:
        return ended_at
    return min(attempt.checkpoint_at or attempt.assigned_at, ended_at)


def _months(begin: datetime, end: datetime) -> Iterator[tuple[str, float]]:
    """(month, seconds of it) between two moments, in UTC."""
    begin, end = begin.astimezone(UTC), end.astimezone(UTC)
    while begin < end:
        border = datetime(begin.year + begin.month // 12, begin.month % 12 + 1, 1, tzinfo=UTC)
        yield month_of(begin), (min(border, end) - begin).total_seconds()
        begin = border
