"""What a run has cost so far: what was booked of its attempts, and what the one that runs now holds."""

from __future__ import annotations

from dataclasses import dataclass

from django.utils import timezone

from jobs import series
from jobs.accounting import totals
from jobs.accounting.totals import UsageRow
from jobs.models import Charge, Run
from jobs.states.jobs import ATTEMPT_LIVE


@dataclass(frozen=True)
class Cost:
    booked: UsageRow
    held_device_s: float | None  # by the attempt that runs, of which nothing is booked yet; None: none runs
    held_money: float | None  # at today's price; None: no price
    currency: str
    per_million_tokens: dict[str, float]  # by currency, of what is booked; empty where tokens are not known


def of(run: Run) -> Cost | None:
    """None for a run that has held no device of ours."""
    if run.job is None or not run.job.attempt_number:
        return None
    booked = totals.total(Charge.objects.filter(attempt__job=run.job))
    live = run.job.attempts.filter(state__in=ATTEMPT_LIVE).first()
    held_s = None
    if live is not None:
        held_s = (timezone.now() - live.assigned_at).total_seconds() * run.job.num_devices
    price = run.job.pool.price_per_device_hour
    return Cost(
        booked=booked,
        held_device_s=held_s,
        held_money=None if held_s is None or price is None else held_s / 3600 * price,
        currency=run.job.pool.currency,
        per_million_tokens={} if live else _per_million_tokens(run, booked),
    )


def _per_million_tokens(run: Run, booked: UsageRow) -> dict[str, float]:
    """Empty while something of it is not booked yet: tokens of an attempt that runs on have no price."""
    tokens = series.newest([run.id], ("tokens",)).get(run.id, {}).get("tokens")
    return {currency: amount / tokens * 1e6 for currency, amount in booked.money.items()} if tokens else {}
