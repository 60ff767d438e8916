"""Ledgers: where the wall clock of attempts and jobs went."""

from jobs.ledger.attempts import AttemptLedger
from jobs.ledger.jobs import JobLedger
from jobs.ledger.runs import build_ledger
from jobs.ledger.stored import store_ledger

__all__ = ["AttemptLedger", "JobLedger", "build_ledger", "store_ledger"]
