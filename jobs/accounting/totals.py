"""Sums of charges by month, day, pool, team, person or attempt."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from django.contrib.auth import get_user_model
from django.db.models import Count, Q, QuerySet, Sum

from jobs.models import Attempt, Charge, Pool, Team

NOT_MEASURED = "not measured"
# Name of a grouping -> its column. Names of teams and people are looked up afterwards: grouping 100,000 charges by
# joined names took 0.9 s of CPU, grouping by the charge's own columns 0.3 s.
GROUP_COLUMNS: dict[str, str] = {
    "month": "month",
    "day": "day",
    "pool": "pool_id",
    "team": "team_id",
    "person": "attempt__job__owner_id",
    "attempt": "attempt_id",
}
SUMS = ("device_s", "wasted_device_s", "energy_j", "energy_device_s", "unused_device_s", "use_device_s",
        "device_money", "energy_money", "carbon_g")  # fmt: skip

DELETED = ("deleted runs", "of deleted runs")  # attempt and person of charges whose run was deleted for good


@dataclass
class UsageRow:
    """One group of charges.

    `energy_j` is the sum of what was measured, and None if nothing was; it covers `energy_device_s` of
    `device_s`. Money is never added up over currencies.
    """

    keys: dict[str, str]
    attempts: int = 0
    device_s: float = 0.0
    wasted_device_s: float = 0.0
    energy_j: float | None = None
    energy_device_s: float = 0.0
    unused_device_s: float | None = None  # held and measured as unused; None: not measured
    use_device_s: float = 0.0  # the part of device_s that `unused_device_s` covers
    money: dict[str, float] = field(default_factory=dict)
    carbon_g: float | None = None  # estimated from measured energy; None: no estimate
    unpriced_device_s: float = 0.0  # booked while the pool had no price per device-hour

    @property
    def energy_share(self) -> float:
        """Share of the device time that the energy covers."""
        return min(1.0, self.energy_device_s / self.device_s) if self.device_s else 0.0

    @property
    def use_share(self) -> float:
        """Share of the device time for which utilisation was measured."""
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
            "carbon_g": None if self.carbon_g is None else round(self.carbon_g, 3),
            "money": {currency: round(amount, 6) for currency, amount in sorted(self.money.items())},
            "unpriced_device_s": round(self.unpriced_device_s, 3),
        }


def charges(
    month: str | None = None, teams: Collection[int] | None = None, pool: str | None = None
) -> QuerySet[Charge]:
    """Charges of one month (2026-11), of some teams and of one pool; None does not filter."""
    found = Charge.objects.all()
    if month is not None:
        found = found.filter(month=month)
    if teams is not None:
        found = found.filter(team__in=teams)
    return found if pool is None else found.filter(pool__name=pool)


def usage_rows(
    charges: QuerySet[Charge], by: Sequence[str] = ("month", "pool", "team"), window: slice | None = None
) -> list[UsageRow]:
    """Group charges by some names of GROUP_COLUMNS, and order the rows by those names.

    With a `window` of attempts, return only those, most device time first. Runs one query, and one for each
    kind of name.
    """
    rows = _grouped_sums(charges, by)
    shown = rows if window is None else rows.order_by("-sum_device_s", "attempt_id")[window]
    found: dict[tuple[Any, ...], UsageRow] = {}
    for sums in shown:
        _add_sums(found.setdefault(tuple(sums[column] for column in _columns(by)), UsageRow({})), sums)
    ids = {key[_columns(by).index("attempt_id")] for key in found} if window and "attempt" in by else None
    names = _name_lookups(charges if ids is None else charges.filter(attempt__in=ids), by)
    for key, row in found.items():
        key_ids = dict(zip(_columns(by), key, strict=True))
        row.keys = {
            name: names[name](key_ids) if name in names else str(key_ids[GROUP_COLUMNS[name]]) for name in by
        }
    rows_shown = list(found.values())
    return rows_shown if window else sorted(rows_shown, key=lambda row: tuple(row.keys.values()))


def total(charges: QuerySet[Charge]) -> UsageRow:
    """All charges as one row; an attempt over several days or months is counted once."""
    return next(iter(usage_rows(charges, ())), UsageRow({}))


def months(teams: Collection[int] | None = None) -> list[str]:
    """Months with a charge, newest first."""
    return list(charges(teams=teams).order_by("-month").values_list("month", flat=True).distinct())


def _columns(by: Sequence[str]) -> list[str]:
    """Columns to group by; an attempt implies its person, whose name is looked up with it."""
    return [GROUP_COLUMNS[name] for name in by if name != "person" or "attempt" not in by]


def _name_lookups(
    charges: QuerySet[Charge], by: Sequence[str]
) -> dict[str, Callable[[Mapping[str, Any]], str]]:
    """Functions from the ids of a row to a name, by grouping."""
    found: dict[str, Callable[[Mapping[str, Any]], str]] = {}
    if "pool" in by:
        pools = dict(Pool.objects.values_list("id", "name"))
        found["pool"] = lambda ids: pools[ids["pool_id"]]
    if "team" in by:
        teams = dict(Team.objects.values_list("id", "name"))
        found["team"] = lambda ids: teams[ids["team_id"]]
    if "attempt" in by:
        rows = Attempt.objects.filter(id__in=charges.values("attempt_id")).order_by()
        attempts = {
            columns[0]: (f"{columns[1]}/{columns[2]}", columns[3])
            for columns in rows.values_list("id", "job_id", "number", "job__owner__username")
        }
        found["attempt"] = lambda ids: attempts.get(ids["attempt_id"], DELETED)[0]
        found["person"] = lambda ids: attempts.get(ids["attempt_id"], DELETED)[1]
    elif "person" in by:
        people = dict(get_user_model().objects.values_list("id", "username"))
        found["person"] = lambda ids: people.get(ids[GROUP_COLUMNS["person"]], DELETED[1])
    return found


def _grouped_sums(charges: QuerySet[Charge], by: Sequence[str]) -> Any:
    unpriced = Sum("device_s", filter=Q(device_money=None))
    sums = {f"sum_{column}": Sum(column) for column in SUMS}
    return (
        charges.order_by()
        .values(*_columns(by), "currency")
        .annotate(attempts=Count("attempt", distinct=True), unpriced=unpriced, **sums)
        .order_by("currency")
    )


def _add_sums(row: UsageRow, sums: dict[str, Any]) -> None:
    row.attempts += sums["attempts"]  # an attempt is booked in one currency
    row.device_s += sums["sum_device_s"]
    row.wasted_device_s += sums["sum_wasted_device_s"]
    row.energy_device_s += sums["sum_energy_device_s"]
    row.use_device_s += sums["sum_use_device_s"]
    row.unpriced_device_s += sums["unpriced"] or 0.0
    _add_measured(row, sums["sum_energy_j"], sums["sum_unused_device_s"])
    if sums["sum_carbon_g"] is not None:
        row.carbon_g = (row.carbon_g or 0.0) + sums["sum_carbon_g"]
    parts = [sums[name] for name in ("sum_device_money", "sum_energy_money") if sums[name] is not None]
    if parts:
        row.money[sums["currency"]] = row.money.get(sums["currency"], 0.0) + sum(parts)


def _add_measured(row: UsageRow, energy_j: float | None, unused_device_s: float | None) -> None:
    """Add measured values; a value that was not measured adds nothing and is not zero."""
    if energy_j is not None:
        row.energy_j = (row.energy_j or 0.0) + energy_j
    if unused_device_s is not None:
        row.unused_device_s = (row.unused_device_s or 0.0) + unused_device_s
