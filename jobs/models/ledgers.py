"""Ledgers of runs: where the wall clock of their attempts went."""

from __future__ import annotations

from django.db import models

from jobs.models.runs import Run


class RunLedger(models.Model):
    """Where the time that a run held its devices went. Written only by jobs.ledger.

    The columns feed the table of runs. NULL: the run recorded too little to tell.
    """

    run = models.OneToOneField(Run, on_delete=models.CASCADE, related_name="ledger", primary_key=True)
    at = models.DateTimeField()
    held_s = models.FloatField()  # by all attempts
    goodput_share = models.FloatField(null=True)  # of held_s: spent in steps whose result is kept
    clock_tokens_per_s = models.FloatField(null=True)
    unexplained_share = models.FloatField()  # of held_s
    seconds = models.JSONField(default=dict)  # CLOCK_PARTS -> seconds

    def __str__(self) -> str:
        return f"{self.run_id}: {self.held_s:.0f} s"
