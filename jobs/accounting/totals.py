"""What attempts have cost, per attempt or added up by person, team, pool, month or day: device-hours, waste, energy,
money."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from django.contrib.auth import get_user_model
from django.db.models import Count, Q, QuerySet, Sum

from jobs.models import Attempt, Charge, Pool, Team

NOT_MEASURED = "not measured"
# What lines can be added up by -> the column that tells them apart. Names are looked up afterwards: grouped by joined
# names, 100,000 charges took 0.9 s of CPU, by the charge's own columns 0.3 s.
BY: dict[str, str] = {
    "month": "month",
    "day": "day",
    "pool": "pool_id",
    "team": "team_id",
    "person": "attempt__job__owner_id",
    "attempt": "attempt_id",
}
SUMS = ("device_s", "wasted_device_s", "energy_j", "energy_device_s", "unused_device_s", "use_device_s",
        "device_money", "energy_money", "carbon_g")  # fmt: skip


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
    carbon_g: float | None = None  # estimated, of energy that was measured; None: of none of it
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
            "carbon_g": None if self.carbon_g is None else round(self.carbon_g, 3),
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


def lines(
    charges: QuerySet[Charge], by: Sequence[str] = ("month", "pool", "team"), window: slice | None = None
) -> list[Line]:
    """`by` names some of BY; ordered by those, or with a `window` of attempts only these, most device-time first. One
    query, and one for each kind of name."""
    rows = _rows(charges, by)
    shown = rows if window is None else rows.order_by("-sum_device_s", "attempt_id")[window]
    found: dict[tuple[Any, ...], Line] = {}
    for row in shown:
        _add(found.setdefault(tuple(row[column] for column in _columns(by)), Line({})), row)
    ids = {key[_columns(by).index("attempt_id")] for key in found} if window and "attempt" in by else None
    names = _names(charges if ids is None else charges.filter(attempt__in=ids), by)
    for key, line in found.items():
        known = dict(zip(_columns(by), key, strict=True))
        line.keys = {name: names[name](known) if name in names else str(known[BY[name]]) for name in by}
    lines = list(found.values())
    return lines if window else sorted(lines, key=lambda line: tuple(line.keys.values()))


def total(charges: QuerySet[Charge]) -> Line:
    """All of them as one line; an attempt over several days or months is counted once."""
    return next(iter(lines(charges, ())), Line({}))


def months(teams: Collection[int] | None = None) -> list[str]:
    """Those in which something was booked, newest first."""
    return list(charges(teams=teams).order_by("-month").values_list("month", flat=True).distinct())


def _columns(by: Sequence[str]) -> list[str]:
    """An attempt decides who the person is, who is then looked up with it."""
    return [BY[name] for name in by if name != "person" or "attempt" not in by]


def _names(charges: QuerySet[Charge], by: Sequence[str]) -> dict[str, Callable[[Mapping[str, Any]], str]]:
    """How the ids of a line are called."""
    found: dict[str, Callable[[Mapping[str, Any]], str]] = {}
    if "pool" in by:
        pools = dict(Pool.objects.values_list("id", "name"))
        found["pool"] = lambda known: pools[known["pool_id"]]
    if "team" in by:
        teams = dict(Team.objects.values_list("id", "name"))
        found["team"] = lambda known: teams[known["team_id"]]
    if "attempt" in by:
        rows = Attempt.objects.filter(id__in=charges.values("attempt_id")).order_by()
        attempts = {
            row[0]: (f"{row[1]}/{row[2]}", row[3])
            for row in rows.values_list("id", "job_id", "number", "job__owner__username")
        }
        found["attempt"] = lambda known: attempts[known["attempt_id"]][0]
        found["person"] = lambda known: attempts[known["attempt_id"]][1]
    elif "person" in by:
        people = dict(get_user_model().objects.values_list("id", "username"))
        found["person"] = lambda known: people[known[BY["person"]]]
    return found


def _rows(charges: QuerySet[Charge], by: Sequence[str]) -> Any:
    unpriced = Sum("device_s", filter=Q(device_money=None))
    sums = {f"sum_{column}": Sum(column) for column in SUMS}
    return (
        charges.order_by()
        .values(*_columns(by), "currency")
        .annotate(attempts=Count("attempt", distinct=True), unpriced=unpriced, **sums)
        .order_by("currency")
    )


def _add(line: Line, row: dict[str, Any]) -> None:
    line.attempts += row["attempts"]  # an attempt is booked in one currency
    line.device_s += row["sum_device_s"]
    line.wasted_device_s += row["sum_wasted_device_s"]
    line.energy_device_s += row["sum_energy_device_s"]
    line.use_device_s += row["sum_use_device_s"]
    line.unpriced_device_s += row["unpriced"] or 0.0
    _add_measured(line, row["sum_energy_j"], row["sum_unused_device_s"])
    if row["sum_carbon_g"] is not None:
        line.carbon_g = (line.carbon_g or 0.0) + row["sum_carbon_g"]
    parts = [row[name] for name in ("sum_device_money", "sum_energy_money") if row[name] is not None]
    if parts:
        line.money[row["currency"]] = line.money.get(row["currency"], 0.0) + sum(parts)


def _add_measured(line: Line, energy_j: float | None, unused_device_s: float | None) -> None:
    """What was not measured adds nothing, and is not nought."""
    if energy_j is not None:
        line.energy_j = (line.energy_j or 0.0) + energy_j
    if unused_device_s is not None:
        line.unused_device_s = (line.unused_device_s or 0.0) + unused_device_s
