"""What an ended attempt has cost its team: one charge a day, and the team's use of the pool that follows from it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Any

from django.conf import settings

from jobs import series
from jobs.accounting import utilisation
from jobs.accounting.budget import Budget
from jobs.models import Attempt, Charge, Pool, Run, Share
from jobs.states.jobs import AttemptState

ENERGY = "energy_j"  # the metric: of each device, since the attempt began
J_PER_KWH = 3.6e6


@dataclass
class Used:
    """Energy of one day: joules of those devices that were measured, and the device-seconds they cover."""

    energy_j: float = 0.0
    device_s: float = 0.0


def charge(attempt: Attempt) -> None:
    """Book an attempt that has just got its terminal state; call it in the same transaction. Devices count from the
    moment they were leased to the moment they came back. Nobody pays for a machine: work lost with a node (state
    lost) is booked as waste like any other, so that sums agree with the leases."""
    job, ended_at = attempt.job, attempt.ended_at
    assert ended_at is not None
    held = dict(days(attempt.assigned_at, ended_at))
    wasted_s = dict(days(_useful_until(attempt, ended_at), ended_at))
    energy = _energy(attempt, list(held))
    unused = utilisation.of_days(attempt)
    pool = Pool.objects.get(id=job.pool_id)
    charges = [
        _priced(pool, energy.get(day), Charge(
            attempt=attempt, team_id=job.team_id, pool=pool, day=day, month=month_of_day(day),
            device_s=seconds * job.num_devices, wasted_device_s=wasted_s.get(day, 0.0) * job.num_devices,
        ))
        for day, seconds in held.items()
    ]  # fmt: skip
    for one in charges:
        if one.day in unused:
            one.use_device_s, one.unused_device_s = unused[one.day]
    Charge.objects.bulk_create(charges)
    _add_up(attempt, charges, ended_at)


def _priced(pool: Pool, energy: Used | None, charge: Charge) -> Charge:
    """With its energy, and the money for what there is a price for."""
    price, tariff = pool.price_per_device_hour, pool.tariff_per_kwh
    if energy is not None:
        charge.energy_j, charge.energy_device_s = energy.energy_j, energy.device_s
    if price is not None:
        charge.price_per_device_hour, charge.currency = price, pool.currency
        charge.device_money = charge.device_s / 3600 * price
    if tariff is not None:
        charge.tariff_per_kwh, charge.currency = tariff, pool.currency
        charge.energy_money = None if energy is None else energy.energy_j / J_PER_KWH * tariff
    if pool.carbon_g_per_kwh is not None and energy is not None:
        charge.carbon_g = energy.energy_j / J_PER_KWH * (pool.pue or 1.0) * pool.carbon_g_per_kwh
    return charge


def _add_up(attempt: Attempt, charges: list[Charge], ended_at: datetime) -> None:
    """Into the team's share: its decayed use, and what this month's budgets are compared with."""
    key: dict[str, Any] = {"team_id": attempt.job.team_id, "pool_id": attempt.job.pool_id}
    Share.objects.get_or_create(**key)
    share = Share.objects.select_for_update().get(**key)
    share.used_device_s = decayed(share, ended_at) + sum(charge.device_s for charge in charges)
    share.used_at = ended_at
    newest = max((charge.month for charge in charges), default="")
    if newest > share.month:
        share.month, share.month_device_s, share.month_j, share.month_money = newest, 0.0, 0.0, 0.0
    for charge in charges:
        if charge.month == share.month:
            share.month_device_s += charge.device_s
            share.month_j += charge.energy_j or 0.0
            share.month_money += (charge.device_money or 0.0) + (charge.energy_money or 0.0)
    share.save(
        update_fields=["used_device_s", "used_at", "month", "month_device_s", "month_j", "month_money"]
    )


def decayed(share: Share, now: datetime) -> float:
    """Device-seconds used, each counting half as much after every half-life."""
    if share.used_at is None:
        return share.used_device_s
    age_s = max(0.0, (now - share.used_at).total_seconds())
    return share.used_device_s * 0.5 ** (age_s / settings.SHARE_HALF_LIFE_S)


def budgets(share: Share, now: datetime, running_j: float, tariff_per_j: float) -> dict[str, Budget]:
    """Those that the share has, with what is left of this month. `running_j`: measured so far of what runs, of which
    nothing is booked yet."""
    is_now = share.month == month_of(now)
    found = (
        ("device_s", share.monthly_budget_device_s, share.month_device_s, 0.0),
        ("j", share.monthly_budget_j, share.month_j, running_j),
        ("money", share.monthly_budget_money, share.month_money, running_j * tariff_per_j),
    )
    return {
        kind: Budget(whole, whole - (booked if is_now else 0.0) - unbooked)
        for kind, whole, booked, unbooked in found
        if whole is not None
    }


def end_of_month(now: datetime) -> datetime:
    """When budgets are whole again."""
    now = now.astimezone(UTC)
    return datetime(now.year + now.month // 12, now.month % 12 + 1, 1, tzinfo=UTC)


def month_of(at: datetime) -> str:
    return at.astimezone(UTC).strftime("%Y-%m")


def month_of_day(day: date) -> str:
    return day.strftime("%Y-%m")


def days(begin: datetime, end: datetime) -> Iterator[tuple[date, float]]:
    """(day, seconds of it) between two moments, in UTC."""
    begin, end = begin.astimezone(UTC), end.astimezone(UTC)
    while begin < end:
        border = _begin_of(begin.date() + timedelta(days=1))
        yield begin.date(), (min(border, end) - begin).total_seconds()
        begin = border


def _useful_until(attempt: Attempt, ended_at: datetime) -> datetime:
    """What an attempt did up to its last checkpoint is kept; one that succeeded wasted nothing, and one that ended
    without a checkpoint everything since it began to hold devices."""
    if attempt.state == AttemptState.SUCCEEDED:
        return ended_at
    return min(attempt.checkpoint_at or attempt.assigned_at, ended_at)


def _energy(attempt: Attempt, on: list[date]) -> dict[date, Used]:
    """From the devices' counters, which begin with the attempt's ranks. A device that was measured only up to a moment
    counts up to there; the rest of its time is not covered, and nothing is put in its place."""
    run_id = Run.objects.filter(job_id=attempt.job_id).values_list("id", flat=True).first()
    if run_id is None or attempt.started_at is None or attempt.ended_at is None:
        return {}
    ends = [min(_begin_of(day + timedelta(days=1)), attempt.ended_at).timestamp() for day in on]
    used: dict[date, Used] = {}
    for source, readings in series.counter_values(run_id, attempt.number, ENERGY, ends).items():
        if not source.startswith("device:"):
            continue
        since, before_j = attempt.started_at.timestamp(), 0.0
        for day, reading in zip(on, readings, strict=True):
            if reading is None or reading[0] <= since:
                continue
            now = used.setdefault(day, Used())
            now.energy_j += reading[1] - before_j
            now.device_s += reading[0] - since
            since, before_j = reading
    return used


def _begin_of(day: date) -> datetime:
    return datetime(day.year, day.month, day.day, tzinfo=UTC)
