"""Checkpoints that a run can be resumed, started or exported from."""

from __future__ import annotations

from django.db import models

from jobs.models.runs import Run
from jobs.models.work import Attempt


class Checkpoint(models.Model):
    """One complete checkpoint of an attempt. Written only by jobs.attempts.checkpoints."""

    run = models.ForeignKey(Run, on_delete=models.CASCADE, related_name="checkpoints")
    attempt = models.ForeignKey(Attempt, on_delete=models.CASCADE, related_name="checkpoints")
    step = models.PositiveIntegerField()
    path = models.CharField(max_length=500)  # on the attempt's node, or in the folder shared by the nodes
    is_shared = models.BooleanField(default=False)
    size_bytes = models.BigIntegerField(null=True)
    validation_loss = models.FloatField(null=True)  # at this step; NULL: not validated at this step
    saved_at = models.DateTimeField()
    gone_at = models.DateTimeField(
        null=True
    )  # when it was found deleted: pruned, or removed with its attempt's folder

    class Meta:
        ordering = ["-step", "-attempt"]
        constraints = [
            models.UniqueConstraint(fields=["attempt", "step"], name="one_checkpoint_per_attempt_and_step")
        ]

    def __str__(self) -> str:
        return f"{self.run_id}@{self.step}"
