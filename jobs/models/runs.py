"""The history that charts show: one run per job, kept across its attempts."""

from __future__ import annotations

from django.conf import settings
from django.db import models

from jobs.ids import new_id
from jobs.models.people import Team
from jobs.models.work import Job


class Run(models.Model):
    """May exist without a job (logged through the API)."""

    id = models.CharField(primary_key=True, max_length=12, default=new_id, editable=False)
    job = models.OneToOneField(Job, on_delete=models.CASCADE, related_name="run", null=True)
    team = models.ForeignKey(Team, on_delete=models.PROTECT, related_name="runs")
    owner = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="runs")
    name = models.CharField(max_length=100)
    spec = models.JSONField(default=dict)
    plan = models.JSONField(default=dict)
    created_at = models.DateTimeField(auto_now_add=True)
    # Newest value of each run-scope metric, for lists; written with the batch that brought it.
    headline = models.JSONField(default=dict)
    # Readings that cannot be had: {source: {metric: [status, reason]}}
    missing = models.JSONField(default=dict)

    class Meta:
        ordering = ["-created_at"]
        indexes = [models.Index(fields=["team", "-created_at"])]

    def __str__(self) -> str:
        return f"{self.name} ({self.id})"
