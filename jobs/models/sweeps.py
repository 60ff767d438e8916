"""Sweeps: one spec with many values, run as ordinary jobs."""

from __future__ import annotations

from django.conf import settings
from django.db import models

from jobs.ids import new_id
from jobs.models.people import Team


class SweepState(models.TextChoices):
    RUNNING = "running"  # jobs are submitted, and compared at each rung
    PAUSED = "paused"
    FINISHED = "finished"
    CANCELLED = "cancelled"


class Sweep(models.Model):
    """Written only by jobs.sweeps.sweep_actions and jobs.sweeps.advance."""

    id = models.CharField(primary_key=True, max_length=12, default=new_id, editable=False)
    team = models.ForeignKey(Team, on_delete=models.PROTECT, related_name="sweeps")
    owner = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="sweeps")
    name = models.CharField(max_length=100)
    spec = models.JSONField()  # common to all points
    definition = models.JSONField()  # engine.sweep.SweepDefinition
    points = models.JSONField()  # [{field: value}, ...]; points are numbered from 1
    refused = models.JSONField(default=dict)  # number of a point -> why it has no job
    rungs = models.JSONField()  # steps after which jobs are compared; the last is the end
    # One entry per decided rung: {"steps", "at", "members", "promoted", "stopped", "values"}; numbers of points
    decisions = models.JSONField(default=list)
    state = models.CharField(
        max_length=10, choices=SweepState.choices, default=SweepState.RUNNING, db_index=True
    )
    reason = models.TextField(blank=True)  # of the final state
    created_at = models.DateTimeField(auto_now_add=True)
    ended_at = models.DateTimeField(null=True)

    class Meta:
        ordering = ["-created_at"]
        indexes = [models.Index(fields=["team", "-created_at"])]

    def __str__(self) -> str:
        return f"{self.name} ({self.id})"


class SweepEvent(models.Model):
    """One event of a sweep: who and what. Append-only."""

    sweep = models.ForeignKey(Sweep, on_delete=models.CASCADE, related_name="events")
    at = models.DateTimeField(auto_now_add=True)
    actor = models.CharField(max_length=150)  # a user name, or scheduler
    text = models.TextField()

    class Meta:
        ordering = ["id"]
