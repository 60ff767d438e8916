"""What attempts have cost, per attempt or added up by team, pool and month: device-seconds, waste, energy."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from django.db.models import Count, Max, QuerySet, Sum

from jobs.models import Charge, StoredSeries

NOT_MEASURED = "not measured"
ENERGY = "energy_j"  # the metric; of each device, since the attempt began
BY = ("month", "pool", "team", "attempt")


@dataclass
class Line:
    """One group of charges. `energy_j` adds up the attempts that were measured on all of their devices; None: not
    one was. An attempt's energy stands in the month in which it ended."""

    keys: dict[str, str]
    attempts: int = 0
    device_s: float = 0.0
    wasted_device_s: float = 0.0
    energy_j: float | None = None
    attempts_measured: int = 0

    def to_json(self) -> dict[str, object]:
        return {
            **self.keys,
            "attempts": self.attempts,
            "device_s": round(self.device_s, 3),
            "wasted_device_s": round(self.wasted_device_s, 3),
            "energy_j": NOT_MEASURED if self.energy_j is None else round(self.energy_j, 3),
            "attempts_measured": self.attempts_measured,
        }


def lines(by: Sequence[str] = ("month", "pool", "team"), month: str | None = None) -> list[Line]:
    """Ordered by their keys. `by` names some of BY; `month` (2026-11) leaves out all others. Two queries."""
    charges = Charge.objects.all() if month is None else Charge.objects.filter(month=month)
    energies = _energies(charges)
    found: dict[tuple[str, ...], Line] = {}
    last = Max("attempt__charges__month")  # an attempt over two months is counted in the later one
    for charge in charges.select_related("attempt__job", "pool", "team").annotate(last_month=last):
        is_last = charge.month == charge.last_month
        names = {
            "month": charge.month,
            "pool": charge.pool.name,
            "team": charge.team.name,
            "attempt": f"{charge.attempt.job_id}/{charge.attempt.number}",
        }
        keys = {name: names[name] for name in by}
        line = found.setdefault(tuple(keys.values()), Line(keys))
        line.device_s += charge.device_s
        line.wasted_device_s += charge.wasted_device_s
        if is_last or "month" in by:
            line.attempts += 1
        energy_j = energies.get((charge.attempt.job_id, charge.attempt.number))
        if is_last and energy_j is not None:
            line.energy_j = (line.energy_j or 0.0) + energy_j
            line.attempts_measured += 1
    return [found[key] for key in sorted(found)]


def _energies(charges: QuerySet[Charge]) -> dict[tuple[str, int], float]:
    """(job, attempt number) -> joules, of those whose every device was measured to the end."""
    jobs = charges.values("attempt__job_id")
    measured = (
        StoredSeries.objects.filter(
            metric=ENERGY, source__startswith="device:", stream__run__job__in=jobs, last_value__isnull=False
        )
        .values("stream__run__job_id", "stream__attempt", "stream__run__job__num_devices")
        .annotate(energy_j=Sum("last_value"), num_devices=Count("source", distinct=True))
    )
    return {
        (row["stream__run__job_id"], row["stream__attempt"]): row["energy_j"]
        for row in measured
        if row["num_devices"] == row["stream__run__job__num_devices"]
    }
