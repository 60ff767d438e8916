"""Stored ledgers, for the table of runs."""

from __future__ import annotations

from django.utils import timezone

from jobs.ledger.jobs import JobLedger
from jobs.models import Run, RunLedger


def store_ledger(run: Run, ledger: JobLedger) -> None:
    """Store the figures of a ledger that the table of runs shows, sorts and filters by."""
    seconds = ledger.seconds
    RunLedger.objects.update_or_create(
        run=run,
        defaults={
            "at": timezone.now(),
            "held_s": ledger.held_s,
            "goodput_share": ledger.goodput_share,
            "clock_tokens_per_s": ledger.clock_tokens_per_s,
            "unexplained_share": seconds.get("unexplained", 0.0) / ledger.held_s if ledger.held_s else 0.0,
            "seconds": seconds,
        },
    )
