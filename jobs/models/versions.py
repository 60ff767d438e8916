"""Versions of named sets of files."""

from __future__ import annotations

from django.db import models

from jobs.ids import new_id
from jobs.models.people import Team
from jobs.models.runs import Project, Run


class ArtefactVersion(models.Model):
    """One version of a name in a project. Its files are the run's artefacts below `prefix`."""

    id = models.CharField(primary_key=True, max_length=12, default=new_id, editable=False)
    team = models.ForeignKey(Team, on_delete=models.CASCADE, related_name="artefact_versions")
    project = models.ForeignKey(
        Project, on_delete=models.CASCADE, related_name="artefact_versions", null=True
    )
    run = models.ForeignKey(Run, on_delete=models.CASCADE, related_name="artefact_versions")
    name = models.CharField(max_length=250)
    number = models.IntegerField()  # from 0
    kind = models.CharField(max_length=250, blank=True)  # 'model', 'dataset', ...
    note = models.TextField(blank=True)
    prefix = models.CharField(max_length=500)
    digest = models.CharField(max_length=64)  # of the names and contents of its files
    files = models.JSONField(default=list)  # path below the prefix, size_bytes, sha256; or path and reference
    aliases = models.JSONField(default=list)
    facts = models.JSONField(default=dict)  # metadata of the script
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ["name", "-number"]
        constraints = [
            models.UniqueConstraint(
                fields=["team", "project", "name", "number"], name="artefact_version_numbers_are_unique"
            )
        ]

    def __str__(self) -> str:
        return f"{self.name}:v{self.number}"
