"""Files, models and data set references that a run's code logged."""

from __future__ import annotations

from django.db import models

from jobs.ids import new_id
from jobs.models.runs import Run

PATH_LIMIT = 500


class Artefact(models.Model):
    """One file of a run. Its name on disk is its id, so the client's path is never used as a path here."""

    id = models.CharField(primary_key=True, max_length=12, default=new_id, editable=False)
    run = models.ForeignKey(Run, on_delete=models.CASCADE, related_name="artefacts")
    path = models.CharField(max_length=PATH_LIMIT)  # 'plots/loss.png', as the client names it
    size_bytes = models.BigIntegerField()
    sha256 = models.CharField(max_length=64)
    saved_at = models.DateTimeField()
    actor = models.CharField(max_length=150)
    missing_since = models.DateTimeField(null=True)  # when its file was first not seen; NULL: seen

    class Meta:
        ordering = ["path"]
        constraints = [models.UniqueConstraint(fields=["run", "path"], name="one_artefact_per_run_and_path")]

    def __str__(self) -> str:
        return self.path


class RunInput(models.Model):
    """A data set that a run read, as described by the run's code."""

    run = models.ForeignKey(Run, on_delete=models.CASCADE, related_name="inputs")
    name = models.CharField(max_length=500)
    digest = models.CharField(max_length=36)
    context = models.CharField(max_length=500, blank=True)  # 'training', 'eval', ...
    source_type = models.TextField(blank=True)
    source = models.TextField(blank=True)
    schema = models.TextField(blank=True)
    profile = models.TextField(blank=True)
    tags = models.JSONField(default=dict)

    class Meta:
        ordering = ["id"]
        constraints = [
            models.UniqueConstraint(
                fields=["run", "name", "digest"], name="one_input_per_run_name_and_digest"
            )
        ]


def new_model_id() -> str:
    return f"m-{new_id()}"


class SavedModel(models.Model):
    """A complete model that a run saved. Its files are the run's artefacts below `models/<id>`."""

    id = models.CharField(primary_key=True, max_length=14, default=new_model_id, editable=False)
    run = models.ForeignKey(Run, on_delete=models.CASCADE, related_name="models")
    name = models.CharField(max_length=250)
    kind = models.CharField(max_length=250, blank=True)
    state = models.CharField(max_length=40)  # as the client reports it: pending, ready, upload_failed
    params = models.JSONField(default=dict)
    tags = models.JSONField(default=dict)
    actor = models.CharField(max_length=150)
    created_at = models.DateTimeField(auto_now_add=True)
    updated_at = models.DateTimeField(auto_now=True)
    archived_at = models.DateTimeField(null=True)

    class Meta:
        ordering = ["-created_at"]
