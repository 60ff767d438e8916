"""What was predicted of runs, what was then measured, and the corrections that follow from it."""

from __future__ import annotations

from django.db import models
from django.db.models import Q

from jobs.models.runs import Run


class Forecast(models.Model):
    """One figure of a run, as predicted and as measured. Written by jobs.verdicts.forecasts."""

    run = models.ForeignKey(Run, on_delete=models.CASCADE, related_name="forecasts")
    field = models.CharField(max_length=40)  # one of jobs.verdicts.forecasts.FIELDS
    # As the plan that was made before the start has it; NULL: not predicted, and `why_not` says why
    low = models.FloatField(null=True)
    point = models.FloatField(null=True)
    high = models.FloatField(null=True)
    raw = models.FloatField(null=True)  # the point without any correction
    learnt_from = models.PositiveIntegerField(default=0)  # runs behind the correction; 0: none was applied
    why_not = models.CharField(max_length=200, blank=True)
    measured = models.FloatField(null=True)  # NULL: `status` and `reason` say why
    status = models.CharField(max_length=12)
    reason = models.CharField(max_length=200, blank=True)
    # Of the run, kept here so that a table over thousands of runs is one query
    device = models.CharField(max_length=120)  # of rank 0
    planned_device = models.CharField(max_length=120, blank=True)  # what the plan took it for
    dtype = models.CharField(max_length=10)
    planner_version = models.PositiveIntegerField(null=True)
    num_steps = models.PositiveIntegerField()  # steady ones, over which the median was taken
    is_contended = models.BooleanField(default=False)  # a time, while others competed for the cores
    judged_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["run", "field"], name="one_forecast_per_run_and_field")
        ]
        indexes = [
            models.Index(
                fields=["device", "dtype", "field"],
                condition=Q(measured__isnull=False),
                name="forecasts_that_were_measured",
            )
        ]


class Correction(models.Model):
    """Measured over predicted of one phase, the median over runs. Written by jobs.planning.calibration."""

    device = models.CharField(max_length=120)
    dtype = models.CharField(max_length=10)
    phase = models.CharField(max_length=40)
    planner_version = models.PositiveIntegerField()
    ratio = models.FloatField()
    low = models.FloatField()  # 10th percentile, and
    high = models.FloatField()  # 90th, widened where there are few runs
    n = models.PositiveIntegerField()
    changed_at = models.DateTimeField(auto_now=True)

    class Meta:
        ordering = ["device", "dtype", "phase"]
        constraints = [
            models.UniqueConstraint(
                fields=["device", "dtype", "phase", "planner_version"], name="one_correction_per_phase"
            )
        ]
