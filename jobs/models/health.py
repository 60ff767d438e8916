"""Health of the training of runs."""

from __future__ import annotations

from django.db import models

from jobs.models.runs import Run


class RunHealth(models.Model):
    """What the loss curves of a run show. Written only by jobs.health.

    The columns feed the table of runs; `body` is the whole engine.health.assess.TrainingHealth.
    """

    run = models.OneToOneField(Run, on_delete=models.CASCADE, related_name="health", primary_key=True)
    version = models.PositiveIntegerField()  # of the rules
    at = models.DateTimeField()
    step = models.BigIntegerField(null=True)  # the last step that it covers
    is_final = models.BooleanField()  # the run had ended
    name = models.CharField(max_length=40)  # improving, diverged, overfitting, ...
    severity = models.CharField(max_length=10)  # bad, warn, note or ''
    body = models.JSONField()

    class Meta:
        indexes = [models.Index(fields=["name"]), models.Index(fields=["is_final", "at"])]

    def __str__(self) -> str:
        return f"{self.run_id}: {self.name}"
