"""Ledger of any run."""

from __future__ import annotations

from datetime import datetime

from jobs.ledger.jobs import JobLedger, build_job_ledger
from jobs.ledger.logged import build_logged_ledger
from jobs.models import Run


def build_ledger(run: Run, now: datetime | None = None) -> JobLedger | None:
    """Return where the time of a run went; None for a job that held no device or trains nothing, and for a logged run
    of unknown duration."""
    return build_logged_ledger(run, now) if run.job is None else build_job_ledger(run, now)
