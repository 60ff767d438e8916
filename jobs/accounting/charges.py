"""Charges of ended attempts, and the team usage derived from them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Any

from django.conf import settings

from jobs import series
from jobs.accounting import utilisation
from jobs.accounting.budget import MonthlyBudget
from jobs.models import Attempt, Charge, Pool, Run, Share
from jobs.states.jobs import AttemptState

ENERGY = "energy_j"  # metric of each device, counted from the start of the attempt
J_PER_KWH = 3.6e6


@dataclass
class DailyEnergy:
    """Energy of one day: joules of the measured devices, and the device-seconds they cover."""

    energy_j: float = 0.0
    device_s: float = 0.0


def book_charges(attempt: Attempt) -> None:
    """Book one charge per day for an attempt that has just reached a terminal state.

    Call it in the transaction of the state change. Devices count from lease to release. A lost node is not
    free of charge: its lost work is booked as waste like any other, so that sums agree with the leases.
    """
    job, ended_at = attempt.job, attempt.ended_at
    assert ended_at is not None
    held_s = dict(split_by_day(attempt.assigned_at, ended_at))
    wasted_s = dict(split_by_day(_useful_end(attempt, ended_at), ended_at))
    energy = _energy_by_day(attempt, list(held_s))
    unused = utilisation.seconds_by_day(attempt)
    pool = Pool.objects.get(id=job.pool_id)
    charges = [
        _with_prices(pool, energy.get(day), Charge(
            attempt=attempt, team_id=job.team_id, pool=pool, day=day, month=month_of_day(day),
            device_s=seconds * job.num_devices, wasted_device_s=wasted_s.get(day, 0.0) * job.num_devices,
        ))
        for day, seconds in held_s.items()
    ]  # fmt: skip
    for booked in charges:
        if booked.day in unused:
            booked.use_device_s, booked.unused_device_s = unused[booked.day]
    Charge.objects.bulk_create(charges)
    _add_to_share(attempt, charges, ended_at)


def _with_prices(pool: Pool, energy: DailyEnergy | None, charge: Charge) -> Charge:
    """Add the energy to a charge, and the money where the pool has a price."""
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


def _add_to_share(attempt: Attempt, charges: list[Charge], ended_at: datetime) -> None:
    """Add the charges to the team's decayed use and to the sums its monthly budgets are compared with."""
    key: dict[str, Any] = {"team_id": attempt.job.team_id, "pool_id": attempt.job.pool_id}
    Share.objects.get_or_create(**key)
    share = Share.objects.select_for_update().get(**key)
    share.used_device_s = decayed_device_s(share, ended_at) + sum(charge.device_s for charge in charges)
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


def decayed_device_s(share: Share, now: datetime) -> float:
    """Device-seconds used; their weight halves with every half-life."""
    if share.used_at is None:
        return share.used_device_s
    age_s = max(0.0, (now - share.used_at).total_seconds())
    return share.used_device_s * 0.5 ** (age_s / settings.SHARE_HALF_LIFE_S)


def monthly_budgets(
    share: Share, now: datetime, running_j: float, tariff_per_j: float
) -> dict[str, MonthlyBudget]:
    """The budgets of a share by kind, with what remains of this month.

    `running_j` is the measured energy of running attempts, of which nothing is booked yet.
    """
    is_this_month = share.month == month_of(now)
    rows = (
        ("device_s", share.monthly_budget_device_s, share.month_device_s, 0.0),
        ("j", share.monthly_budget_j, share.month_j, running_j),
        ("money", share.monthly_budget_money, share.month_money, running_j * tariff_per_j),
    )
    return {
        kind: MonthlyBudget(total, total - (booked if is_this_month else 0.0) - unbooked)
        for kind, total, booked, unbooked in rows
        if total is not None
    }


def end_of_month(now: datetime) -> datetime:
    """The moment (UTC) at which monthly budgets start again."""
    now = now.astimezone(UTC)
    return datetime(now.year + now.month // 12, now.month % 12 + 1, 1, tzinfo=UTC)


def month_of(at: datetime) -> str:
    return at.astimezone(UTC).strftime("%Y-%m")


def month_of_day(day: date) -> str:
    return day.strftime("%Y-%m")


def split_by_day(begin: datetime, end: datetime) -> Iterator[tuple[date, float]]:
    """(day, seconds of that day) between two moments, in UTC."""
    begin, end = begin.astimezone(UTC), end.astimezone(UTC)
    while begin < end:
        midnight = _start_of_day(begin.date() + timedelta(days=1))
        yield begin.date(), (min(midnight, end) - begin).total_seconds()
        begin = midnight


def _useful_end(attempt: Attempt, ended_at: datetime) -> datetime:
    """End of the work that was not wasted.

    This is the last checkpoint, or the start of the lease if there is none. A successful attempt wasted
    nothing.
    """
    if attempt.state == AttemptState.SUCCEEDED:
        return ended_at
    return min(attempt.checkpoint_at or attempt.assigned_at, ended_at)


def _energy_by_day(attempt: Attempt, days: list[date]) -> dict[date, DailyEnergy]:
    """Energy per day, from device counters that start with the attempt's ranks.

    A device counts up to its last reading of the day. The time after that is not covered, and no value is
    estimated.
    """
    run_id = Run.objects.filter(job_id=attempt.job_id).values_list("id", flat=True).first()
    if run_id is None or attempt.started_at is None or attempt.ended_at is None:
        return {}
    ends = [min(_start_of_day(day + timedelta(days=1)), attempt.ended_at).timestamp() for day in days]
    used: dict[date, DailyEnergy] = {}
    for source, readings in series.counter_values(run_id, attempt.number, ENERGY, ends).items():
        if not source.startswith("device:"):
            continue
        since, before_j = attempt.started_at.timestamp(), 0.0
        for day, reading in zip(days, readings, strict=True):
            if reading is None or reading[0] <= since:
                continue
            energy = used.setdefault(day, DailyEnergy())
            energy.energy_j += reading[1] - before_j
            energy.device_s += reading[0] - since
            since, before_j = reading
    return used


def _start_of_day(day: date) -> datetime:
    return datetime(day.year, day.month, day.day, tzinfo=UTC)
