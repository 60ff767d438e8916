"""Uploaded data sets, with their content in parts and their events."""

from __future__ import annotations

from django.conf import settings
from django.db import models

from jobs.ids import new_id
from jobs.models.people import Team

NAME_LIMIT = 100
LICENCE_LIMIT = 200
FILE_NAME_LIMIT = 255


class Dataset(models.Model):
    """One upload, from its first bytes to a data set that runs can use. Written only by jobs.datasets."""

    class UploadState(models.TextChoices):
        RECEIVING = "receiving"  # the upload has not finished
        DRAFT = "draft"  # some lines are bad; a person decides whether to keep the good ones
        READY = "ready"

    id = models.CharField(primary_key=True, max_length=12, default=new_id, editable=False)
    team = models.ForeignKey(Team, on_delete=models.CASCADE, related_name="datasets")
    owner = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="datasets")
    name = models.CharField(max_length=NAME_LIMIT)
    file_name = models.CharField(
        max_length=FILE_NAME_LIMIT
    )  # on the uploader's disk; never used as a path here
    suffix = models.CharField(max_length=10)
    licence = models.CharField(max_length=LICENCE_LIMIT, blank=True)
    note = models.TextField(blank=True)
    state = models.CharField(max_length=10, choices=UploadState, default=UploadState.RECEIVING)
    kind = models.CharField(max_length=10, blank=True)  # of engine.data.lines.Kind
    sha256 = models.CharField(max_length=64, blank=True)  # of the normalised good lines
    size_bytes = models.BigIntegerField(default=0)  # of the normalised good lines
    received_bytes = models.BigIntegerField(default=0)  # of the uploaded file
    num_good = models.IntegerField(default=0)
    num_bad = models.IntegerField(default=0)
    statistics = models.JSONField(default=dict)
    created_at = models.DateTimeField(auto_now_add=True)
    ready_at = models.DateTimeField(null=True)
    archived_at = models.DateTimeField(null=True)  # new runs cannot use it; older runs still refer to it

    class Meta:
        ordering = ["-created_at"]

    def __str__(self) -> str:
        return self.name


class DatasetPart(models.Model):
    """A compressed part of a data set's content. Agents read it from the database, so nodes share no folder for it."""

    dataset = models.ForeignKey(Dataset, on_delete=models.CASCADE, related_name="parts")
    role = models.CharField(max_length=10)  # the lines, or the report on refused lines
    number = models.IntegerField()
    content = models.BinaryField()

    class Meta:
        ordering = ["number"]
        constraints = [
            models.UniqueConstraint(
                fields=["dataset", "role", "number"], name="one_part_per_dataset_role_and_number"
            )
        ]


class DatasetEvent(models.Model):
    """One change of a data set: who and what. Append-only."""

    dataset = models.ForeignKey(Dataset, on_delete=models.SET_NULL, related_name="events", null=True)
    team = models.ForeignKey(Team, on_delete=models.CASCADE, related_name="dataset_events")
    at = models.DateTimeField(auto_now_add=True)
    actor = models.CharField(max_length=150)
    text = models.TextField()

    class Meta:
        ordering = ["id"]
