"""Runs and their projects, with parameters, tags, metric summaries and events."""

from __future__ import annotations

import math

from django.conf import settings
from django.db import models

from engine.request_limits import KEY_CHARS
from jobs.ids import new_id
from jobs.models.deletions import Deletion
from jobs.models.people import Team
from jobs.models.work import Job


class Project(models.Model):
    """A group of a team's runs; MLflow's experiment. A run without a project belongs to the team's default one."""

    team = models.ForeignKey(Team, on_delete=models.CASCADE, related_name="projects")
    name = models.CharField(max_length=500)
    note = models.TextField(blank=True)
    tags = models.JSONField(default=dict)
    created_at = models.DateTimeField(auto_now_add=True)
    updated_at = models.DateTimeField(auto_now=True)
    archived_at = models.DateTimeField(null=True)
    deletion = models.ForeignKey(
        Deletion, on_delete=models.PROTECT, related_name="projects", null=True
    )  # in the bin

    class Meta:
        ordering = ["name"]
        constraints = [
            models.UniqueConstraint(fields=["team", "name"], name="project_names_are_unique_in_a_team")
        ]

    def __str__(self) -> str:
        return self.name


class ProjectEvent(models.Model):
    """One change of a project: who and what. Append-only."""

    project = models.ForeignKey(Project, on_delete=models.CASCADE, related_name="events")
    at = models.DateTimeField(auto_now_add=True)
    actor = models.CharField(max_length=150)
    kind = models.CharField(max_length=40)  # project.<what>
    text = models.TextField(blank=True)

    class Meta:
        ordering = ["id"]


class Run(models.Model):
    """The history that charts show: one per job, kept across its attempts, or logged through the API without a job."""

    id = models.CharField(primary_key=True, max_length=12, default=new_id, editable=False)
    job = models.OneToOneField(Job, on_delete=models.CASCADE, related_name="run", null=True)
    team = models.ForeignKey(Team, on_delete=models.PROTECT, related_name="runs")
    owner = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="runs")
    project = models.ForeignKey(Project, on_delete=models.PROTECT, related_name="runs", null=True)
    parent = models.ForeignKey("self", on_delete=models.SET_NULL, related_name="children", null=True)
    name = models.CharField(max_length=250)
    note = models.TextField(blank=True)
    colour = models.CharField(
        max_length=7, blank=True
    )  # '#rrggbb', chosen by a person; '': by its position in the list
    spec = models.JSONField(default=dict)
    plan = models.JSONField(default=dict)
    created_at = models.DateTimeField(auto_now_add=True)
    archived_at = models.DateTimeField(null=True)  # hidden from lists; nothing is deleted
    deletion = models.ForeignKey(
        Deletion, on_delete=models.PROTECT, related_name="runs", null=True
    )  # in the bin
    # For a run without a job: the client that logs it ('mlflow', 'fourwalls', ...) and the state that it last sent.
    origin = models.CharField(max_length=40, blank=True)
    external_id = models.CharField(
        max_length=64, blank=True
    )  # the id that its client chose, if it is not `id`
    state = models.CharField(max_length=10, blank=True)  # one of jobs.tracking.external_runs.TRACKED_STATES
    started_at = models.DateTimeField(null=True)
    ended_at = models.DateTimeField(null=True)
    last_seen_at = models.DateTimeField(null=True)  # last request of its client
    # Readings that are not available: {source: {metric: [status, reason]}}
    missing = models.JSONField(default=dict)

    class Meta:
        ordering = ["-created_at"]
        indexes = [
            models.Index(fields=["team", "-created_at"]),
            models.Index(fields=["project", "-created_at"]),
        ]
        constraints = [
            models.UniqueConstraint(
                fields=["team", "external_id"],
                condition=~models.Q(external_id=""),
                name="one_run_per_team_and_external_id",
            )
        ]

    def __str__(self) -> str:
        return f"{self.name} ({self.id})"


class RunParam(models.Model):
    """One parameter of a run. A job's spec is stored with its paths as keys, as in `model.layers`."""

    run = models.ForeignKey(Run, on_delete=models.CASCADE, related_name="params")
    key = models.CharField(max_length=KEY_CHARS)
    value = models.TextField()  # at most PARAM_CHARS
    number = models.FloatField(null=True)  # the value, if it is a finite number

    class Meta:
        constraints = [models.UniqueConstraint(fields=["run", "key"], name="one_value_per_run_and_param")]
        indexes = [models.Index(fields=["key", "number"])]


class RunTag(models.Model):
    """One tag of a run. With the value '' it is a label."""

    run = models.ForeignKey(Run, on_delete=models.CASCADE, related_name="tags")
    key = models.CharField(max_length=KEY_CHARS)
    value = models.TextField(blank=True)  # at most TAG_CHARS

    class Meta:
        constraints = [models.UniqueConstraint(fields=["run", "key"], name="one_value_per_run_and_tag")]
        indexes = [models.Index(fields=["key"])]


class RunMetric(models.Model):
    """Summary of one series of the run itself (source 'run') over all recorded points. Written by jobs.series."""

    run = models.ForeignKey(Run, on_delete=models.CASCADE, related_name="metrics")
    key = models.CharField(max_length=KEY_CHARS)
    last = models.FloatField(null=True)  # newest by time, then by step; NULL: NaN, which SQLite cannot store
    last_step = models.BigIntegerField(null=True)
    last_at_us = models.BigIntegerField()
    low = models.FloatField(null=True)  # of the finite values; NULL: there is none
    high = models.FloatField(null=True)
    mean = models.FloatField(null=True)  # of the finite values
    num_finite = models.BigIntegerField(default=0)
    count = models.BigIntegerField(default=0)

    class Meta:
        # No index contains a column that changes, so PostgreSQL updates rows in place (HOT).
        constraints = [models.UniqueConstraint(fields=["key", "run"], name="one_row_per_run_and_metric")]

    @property
    def value(self) -> float:
        return math.nan if self.last is None else self.last


class RunEvent(models.Model):
    """One change of a run: who and what. Append-only."""

    run = models.ForeignKey(Run, on_delete=models.CASCADE, related_name="events")
    at = models.DateTimeField(auto_now_add=True)
    actor = models.CharField(max_length=150)
    kind = models.CharField(max_length=40)  # run.<what>
    text = models.TextField(blank=True)

    class Meta:
        ordering = ["id"]
