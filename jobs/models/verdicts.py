"""Verdicts on what limits a run, and the checks of them by twin runs."""

from __future__ import annotations

from django.conf import settings
from django.db import models

from jobs.models.runs import Run


class RunVerdict(models.Model):
    """One verdict of a run by one version of the rules. Written only by jobs.verdicts.

    The columns feed the table of runs; `body` is the whole engine.verdict.results.Verdict.
    """

    run = models.ForeignKey(Run, on_delete=models.CASCADE, related_name="verdicts")
    rules_version = models.PositiveIntegerField()
    at = models.DateTimeField()
    step = models.PositiveIntegerField()  # newest step that the verdict covers
    attempt = models.PositiveIntegerField(default=0)
    is_final = models.BooleanField()  # the job had ended
    name = models.CharField(max_length=80)  # communication, or 'communication + input'; '': no verdict
    limit = models.CharField(max_length=12)  # compute, memory, bandwidth, power or mixed
    share = models.FloatField(null=True)
    severity = models.CharField(max_length=10)  # '', notable, strong
    is_provisional = models.BooleanField()
    body = models.JSONField()

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["run", "rules_version"], name="one_verdict_per_run_and_rules")
        ]
        indexes = [models.Index(fields=["name"]), models.Index(fields=["is_final", "at"])]

    def __str__(self) -> str:
        return f"{self.run_id}: {self.name or 'no verdict'}"


class CheckState(models.TextChoices):
    BASELINE = "baseline"  # a short run of the unchanged spec is running
    TWIN = "twin"  # the same run with one change is running
    DONE = "done"
    FAILED = "failed"  # with the reason in `reason`


HOLDS_WITHIN = 0.05  # largest difference between a verdict's claim and a twin's result, as a share


class VerdictCheck(models.Model):
    """A test of a verdict: one change of the spec with its predicted and its observed saving per token.

    Written only by jobs.verdicts.
    """

    run = models.ForeignKey(Run, on_delete=models.CASCADE, related_name="checks")
    rule = models.CharField(max_length=40)
    changes = models.JSONField()  # path of the spec -> value
    twin_spec = models.JSONField()
    predicted_share = models.FloatField()  # of the time per token
    observed_share = models.FloatField(null=True)
    state = models.CharField(max_length=10, choices=CheckState.choices, db_index=True)
    reason = models.TextField(blank=True)
    baseline = models.ForeignKey(Run, on_delete=models.SET_NULL, related_name="baseline_of", null=True)
    twin = models.ForeignKey(Run, on_delete=models.SET_NULL, related_name="twin_of", null=True)
    actor = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="+")
    at = models.DateTimeField(auto_now_add=True)
    ended_at = models.DateTimeField(null=True)

    class Meta:
        ordering = ["-id"]

    def __str__(self) -> str:
        return f"check of {self.run_id}: {self.state}"

    @property
    def is_live(self) -> bool:
        return self.state in (CheckState.BASELINE, CheckState.TWIN)

    @property
    def difference_share(self) -> float | None:
        """Observed against predicted share; None until both runs have ended."""
        return None if self.observed_share is None else abs(self.observed_share - self.predicted_share)

    @property
    def holds(self) -> bool | None:
        """Whether the twin confirms the verdict; None until both runs have ended."""
        return None if self.difference_share is None else self.difference_share <= HOLDS_WITHIN
