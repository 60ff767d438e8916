"""Forecasts of runs, their measured values, and the corrections learnt from both."""

from __future__ import annotations

from django.db import models
from django.db.models import Q

from jobs.models.runs import Run
from jobs.models.work import Job


class Forecast(models.Model):
    """One figure of a run, as predicted and as measured. Written by jobs.verdicts.forecasts."""

    run = models.ForeignKey(Run, on_delete=models.CASCADE, related_name="forecasts")
    field = models.CharField(max_length=40)  # one of jobs.verdicts.forecasts.FIELDS
    # From the plan made before the start; NULL: not predicted, with the reason in `why_not`
    low = models.FloatField(null=True)
    point = models.FloatField(null=True)
    high = models.FloatField(null=True)
    raw = models.FloatField(null=True)  # the point without any correction
    learnt_from = models.PositiveIntegerField(default=0)  # runs behind the correction; 0: none was applied
    why_not = models.CharField(max_length=200, blank=True)
    measured = models.FloatField(null=True)  # NULL: the reason is in `status` and `reason`
    status = models.CharField(max_length=12)
    reason = models.CharField(max_length=200, blank=True)
    # Copied from the run, so that a table over thousands of runs is one query
    device = models.CharField(max_length=120)  # of rank 0
    planned_device = models.CharField(max_length=120, blank=True)  # the device that the plan assumed
    dtype = models.CharField(max_length=10)
    planner_version = models.PositiveIntegerField(null=True)
    num_steps = models.PositiveIntegerField()  # steady steps, over which the median was taken
    is_contended = models.BooleanField(default=False)  # a time measured while other processes used the cores
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
    """Ratio of measured to predicted time of one phase, median over runs. Written by jobs.planning.calibration."""

    device = models.CharField(max_length=120)
    dtype = models.CharField(max_length=10)
    phase = models.CharField(max_length=40)
    planner_version = models.PositiveIntegerField()
    ratio = models.FloatField()
    low = models.FloatField()  # 10th percentile, widened where there are few runs
    high = models.FloatField()  # 90th percentile, widened likewise
    n = models.PositiveIntegerField()
    changed_at = models.DateTimeField(auto_now=True)

    class Meta:
        ordering = ["device", "dtype", "phase"]
        constraints = [
            models.UniqueConstraint(
                fields=["device", "dtype", "phase", "planner_version"], name="one_correction_per_phase"
            )
        ]


class StartPromise(models.Model):
    """The two starts that people saw for a waiting job at one moment, and when it started. Written by
    jobs.scheduler.start_promises."""

    job = models.ForeignKey(Job, on_delete=models.CASCADE, related_name="start_promises")
    promised_at = models.DateTimeField()
    likely_at = models.DateTimeField(null=True)  # NULL: it was not known then
    latest_at = models.DateTimeField(null=True)
    started_at = models.DateTimeField(null=True)  # when its devices were assigned; NULL: it waits
    is_void = models.BooleanField(default=False)  # it left the queue without a start

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["job", "promised_at"], name="one_start_promise_per_moment")
        ]
        indexes = [
            models.Index(
                fields=["job"],
                condition=Q(started_at__isnull=True, is_void=False),
                name="open_start_promises",
            )
        ]
