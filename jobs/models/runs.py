"""The history that charts show: runs in projects, with their parameters, tags, metrics in short, and events."""

from __future__ import annotations

import math

from django.conf import settings
from django.db import models

from engine.request_limits import KEY_CHARS
from jobs.ids import new_id
from jobs.models.people import Team
from jobs.models.work import Job


class Project(models.Model):
    """What a team gathers runs under; MLflow calls it an experiment. A run without one is in the team's default."""

    team = models.ForeignKey(Team, on_delete=models.CASCADE, related_name="projects")
    name = models.CharField(max_length=500)
    note = models.TextField(blank=True)
    tags = models.JSONField(default=dict)
    created_at = models.DateTimeField(auto_now_add=True)
    updated_at = models.DateTimeField(auto_now=True)
    archived_at = models.DateTimeField(null=True)

    class Meta:
        ordering = ["name"]
        constraints = [
            models.UniqueConstraint(fields=["team", "name"], name="project_names_are_unique_in_a_team")
        ]

    def __str__(self) -> str:
        return self.name


class ProjectEvent(models.Model):
    """Something a person or program did to a project: who, what. Only ever added to."""

    project = models.ForeignKey(Project, on_delete=models.CASCADE, related_name="events")
    at = models.DateTimeField(auto_now_add=True)
    actor = models.CharField(max_length=150)
    kind = models.CharField(max_length=40)  # project.<what>
    text = models.TextField(blank=True)

    class Meta:
        ordering = ["id"]


class Run(models.Model):
    """One per job, kept across its attempts; or without a job, logged through the API."""

    id = models.CharField(primary_key=True, max_length=12, default=new_id, editable=False)
    job = models.OneToOneField(Job, on_delete=models.CASCADE, related_name="run", null=True)
    team = models.ForeignKey(Team, on_delete=models.PROTECT, related_name="runs")
    owner = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="runs")
    project = models.ForeignKey(Project, on_delete=models.PROTECT, related_name="runs", null=True)
    parent = models.ForeignKey("self", on_delete=models.SET_NULL, related_name="children", null=True)
    name = models.CharField(max_length=250)
    note = models.TextField(blank=True)
    colour = models.CharField(max_length=7, blank=True)  # '#rrggbb', chosen by a person; '': by its place
    spec = models.JSONField(default=dict)
    plan = models.JSONField(default=dict)
    created_at = models.DateTimeField(auto_now_add=True)
    archived_at = models.DateTimeField(null=True)  # hidden from lists; nothing is deleted
    # Of a run without a job: who logs it ('mlflow', 'fourwalls', ...), and how it stands as its writer last said.
    origin = models.CharField(max_length=40, blank=True)
    state = models.CharField(max_length=10, blank=True)  # one of jobs.tracking.external_runs.TRACKED_STATES
    started_at = models.DateTimeField(null=True)
    ended_at = models.DateTimeField(null=True)
    heard_at = models.DateTimeField(null=True)  # newest word of its writer
    # Readings that cannot be had: {source: {metric: [status, reason]}}
    missing = models.JSONField(default=dict)

    class Meta:
        ordering = ["-created_at"]
        indexes = [
            models.Index(fields=["team", "-created_at"]),
            models.Index(fields=["project", "-created_at"]),
        ]

    def __str__(self) -> str:
        return f"{self.name} ({self.id})"


class RunParam(models.Model):
    """One thing that was chosen for a run. A job's spec stands here by its paths: model.layers."""

    run = models.ForeignKey(Run, on_delete=models.CASCADE, related_name="params")
    key = models.CharField(max_length=KEY_CHARS)
    value = models.TextField()  # at most PARAM_CHARS
    number = models.FloatField(null=True)  # the value where it is a finite number

    class Meta:
        constraints = [models.UniqueConstraint(fields=["run", "key"], name="one_value_per_run_and_param")]
        indexes = [models.Index(fields=["key", "number"])]


class RunTag(models.Model):
    """A word that people or programs put on a run; with '' as value it is just a label."""

    run = models.ForeignKey(Run, on_delete=models.CASCADE, related_name="tags")
    key = models.CharField(max_length=KEY_CHARS)
    value = models.TextField(blank=True)  # at most TAG_CHARS

    class Meta:
        constraints = [models.UniqueConstraint(fields=["run", "key"], name="one_value_per_run_and_tag")]
        indexes = [models.Index(fields=["key"])]


class RunMetric(models.Model):
    """A series of the run itself (source 'run') in short, over all that was ever recorded. Written by jobs.series."""

    run = models.ForeignKey(Run, on_delete=models.CASCADE, related_name="metrics")
    key = models.CharField(max_length=KEY_CHARS)
    last = models.FloatField(null=True)  # newest by time, then by step; NULL is NaN, which SQLite cannot hold
    last_step = models.BigIntegerField(null=True)
    last_at_us = models.BigIntegerField()
    low = models.FloatField(null=True)  # of the finite values; NULL: there is none
    high = models.FloatField(null=True)
    mean = models.FloatField(null=True)  # of the finite values
    num_finite = models.BigIntegerField(default=0)
    count = models.BigIntegerField(default=0)

    class Meta:
        # No index holds a value that changes: PostgreSQL then updates in place (HOT), batch after batch.
        constraints = [models.UniqueConstraint(fields=["key", "run"], name="one_row_per_run_and_metric")]

    @property
    def value(self) -> float:
        return math.nan if self.last is None else self.last


class RunEvent(models.Model):
    """Something a person or program did to a run: who, what. Only ever added to."""

    run = models.ForeignKey(Run, on_delete=models.CASCADE, related_name="events")
    at = models.DateTimeField(auto_now_add=True)
    actor = models.CharField(max_length=150)
    kind = models.CharField(max_length=40)  # run.<what>
    text = models.TextField(blank=True)

    class Meta:
        ordering = ["id"]
