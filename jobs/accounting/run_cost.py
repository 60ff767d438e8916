"""Cost of a run so far: booked attempts, and what the live attempt holds."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from django.db.models import QuerySet
from django.utils import timezone

from jobs import series
from jobs.accounting import totals
from jobs.accounting.totals import UsageRow
from jobs.models import Attempt, Charge, Run
from jobs.states.jobs import ATTEMPT_LIVE


@dataclass(frozen=True)
class RunCost:
    booked: UsageRow
    held_device_s: float | None  # by the live attempt, not booked yet; None: no attempt is live
    held_money: float | None  # at today's price; None: no price
    currency: str
    per_million_tokens: dict[str, float]  # booked money by currency; empty where tokens are unknown


def get_run_cost(run: Run) -> RunCost | None:
    """Return the cost of a run; None for one that has held no device."""
    if run.job is None or not run.job.attempt_number:
        return None
    booked = totals.total(Charge.objects.filter(attempt__job=run.job))
    num_live, held_s = held_by_live_attempts(Attempt.objects.filter(job=run.job), timezone.now())
    price = run.job.pool.price_per_device_hour
    return RunCost(
        booked=booked,
        held_device_s=held_s if num_live else None,
        held_money=held_s / 3600 * price if num_live and price is not None else None,
        currency=run.job.pool.currency,
        per_million_tokens={} if num_live else _per_million_tokens(run, booked),
    )


def held_by_live_attempts(attempts: QuerySet[Attempt], now: datetime) -> tuple[int, float]:
    """Return the number of live attempts and the device-seconds they have held: they are booked only at their end."""
    live = attempts.filter(state__in=ATTEMPT_LIVE).values_list("assigned_at", "job__num_devices")
    held = [(now - since).total_seconds() * num_devices for since, num_devices in live]
    return len(held), sum(held)


def _per_million_tokens(run: Run, booked: UsageRow) -> dict[str, float]:
    tokens = series.newest([run.id], ("tokens",)).get(run.id, {}).get("tokens")
    return {currency: amount / tokens * 1e6 for currency, amount in booked.money.items()} if tokens else {}
