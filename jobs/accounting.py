"""What attempts have cost, per attempt or added up by person, team, pool, month or day: device-hours, waste, energy,
money."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from typing import Any

from django.db.models import Count, Q, QuerySet, Sum

from jobs.models import Charge

NOT_MEASURED = "not measured"
# What lines can be added up by -> the columns that tell them apart.
BY: dict[str, tuple[str, ...]] = {
    "month": ("month",),
    "day": ("day",),
    "pool": ("pool__name",),
    "team": ("team__name",),
    "person": ("attempt__job__owner__username",),
    "attempt": ("attempt__job_id", "attempt__number"),
}
SUMS = ("device_s", "wasted_device_s", "energy_j", "energy_device_s", "unused_device_s", "use_device_s",
        "device_money", "energy_money")  # fmt: skip


@dataclass
class Line:
    """One group of charges. `energy_j` is the sum of what was measured and None where nothing was;
    `energy_device_s` of `device_s` is what it covers. Money is never added up over currencies."""

    keys: dict[str, str]
    attempts: int = 0
    device_s: float = 0.0
    wasted_device_s: float = 0.0
    energy_j: float | None = None
    energy_device_s: float = 0.0
    unused_device_s: float | None = None  # held and measured as not used; None: not measured
    use_device_s: float = 0.0  # of device_s, what that covers
    money: dict[str, float] = field(default_factory=dict)
    unpriced_device_s: float = 0.0  # while their pool had no price of a device-hour

    @property
    def energy_share(self) -> float:
        """Of the device-time, how much the energy covers."""
        return min(1.0, self.energy_device_s / self.device_s) if self.device_s else 0.0

    @property
    def use_share(self) -> float:
        """Of the device-time, how much of it was measured whether it was used."""
        return min(1.0, self.use_device_s / self.device_s) if self.device_s else 0.0

    @property
    def wasted_share(self) -> float | None:
        return self.wasted_device_s / self.device_s if self.device_s else None

    def to_json(self) -> dict[str, Any]:
        return {
            **self.keys,
            "attempts": self.attempts,
            "device_s": round(self.device_s, 3),
            "wasted_device_s": round(self.wasted_device_s, 3),
            "energy_j": NOT_MEASURED if self.energy_j is None else round(self.energy_j, 3),
            "energy_measured_share": round(self.energy_share, 4),
            "unused_device_s": NOT_MEASURED
            if self.unused_device_s is None
            else round(self.unused_device_s, 3),
            "use_measured_share": round(self.use_share, 4),
            "money": {currency: round(amount, 6) for currency, amount in sorted(self.money.items())},
            "unpriced_device_s": round(self.unpriced_device_s, 3),
        }


def charges(
    month: str | None = None, teams: Collection[int] | None = None, pool: str | None = None
) -> QuerySet[Charge]:
    """Of one month (2026-11), of some teams, of one pool; None leaves none out."""
    found = Charge.objects.all()
    if month is not None:
        found = found.filter(month=month)
    if teams is not None:
        found = found.filter(team__in=teams)
    return found if pool is None else found.filter(pool__name=pool)


def lines(charges: QuerySet[Charge], by: Sequence[str] = ("month", "pool", "team")) -> list[Line]:
    """Ordered by their keys; `by` names some of BY. One query."""
    columns = [column for name in by for column in BY[name]]
    unpriced = Sum("device_s", filter=Q(device_money=None))
    rows = (
        charges.order_by()
        .values(*columns, "currency")
        .annotate(
            attempts=Count("attempt", distinct=True), unpriced=unpriced, **{f"sum_{c}": Sum(c) for c in SUMS}
        )
    )
    found: dict[tuple[str, ...], Line] = {}
    for row in rows.order_by(*columns, "currency"):
        keys = {name: "/".join(str(row[column]) for column in BY[name]) for name in by}
        _add(found.setdefault(tuple(keys.values()), Line(keys)), row)
    return list(found.values())


def total(lines: Sequence[Line], charges: QuerySet[Charge]) -> Line:
    """All lines as one; an attempt that stands in several is counted once. One query."""
    whole = Line({}, attempts=charges.aggregate(n=Count("attempt", distinct=True))["n"])
    for line in lines:
        for name in ("device_s", "wasted_device_s", "energy_device_s", "use_device_s", "unpriced_device_s"):
            setattr(whole, name, getattr(whole, name) + getattr(line, name))
        _add_measured(whole, line.energy_j, line.unused_device_s)
        for currency, amount in line.money.items():
            whole.money[currency] = whole.money.get(currency, 0.0) + amount
    whole.money = dict(sorted(whole.money.items()))
    return whole


def months(teams: Collection[int] | None = None) -> list[str]:
    """Those in which something was booked, newest first."""
    return list(charges(teams=teams).order_by("-month").values_list("month", flat=True).distinct())


def _add(line: Line, row: dict[str, Any]) -> None:
    line.attempts += row["attempts"]  # an attempt is booked in one currency
    line.device_s += row["sum_device_s"]
    line.wasted_device_s += row["sum_wasted_device_s"]
    line.energy_device_s += row["sum_energy_device_s"]
    line.use_device_s += row["sum_use_device_s"]
    line.unpriced_device_s += row["unpriced"] or 0.0
    _add_measured(line, row["sum_energy_j"], row["sum_unused_device_s"])
    parts = [row[name] for name in ("sum_device_money", "sum_energy_money") if row[name] is not None]
    if parts:
        line.money[row["currency"]] = line.money.get(row["currency"], 0.0) + sum(parts)


def _add_measured(line: Line, energy_j: float | None, unused_device_s: float | None) -> None:
    """What was not measured adds nothing, and is not nought."""
    if energy_j is not None:
        line.energy_j = (line.energy_j or 0.0) + energy_j
    if unused_device_s is not None:
        line.unused_device_s = (line.unused_device_s or 0.0) + unused_device_s
