"""Outputs of a run's model on held-out examples, one set per validation."""

from __future__ import annotations

from django.db import models

from jobs.models.runs import Run


class RunOutput(models.Model):
    """One held-out example at one step: prompt, reference and the model's output."""

    run = models.ForeignKey(Run, on_delete=models.CASCADE, related_name="outputs")
    step = models.IntegerField()
    number = models.PositiveSmallIntegerField()  # of the example, the same at every step
    prompt = models.TextField()
    reference = models.TextField()
    output = models.TextField()

    class Meta:
        ordering = ["number", "step"]
        constraints = [
            models.UniqueConstraint(fields=["run", "number", "step"], name="one_output_per_example_and_step")
        ]
