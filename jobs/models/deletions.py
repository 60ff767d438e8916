"""Runs and projects in the bin, with the record that stays of each deletion."""

from __future__ import annotations

from django.db import models

from jobs.models.cluster import Node
from jobs.models.people import Team


class DeletionState(models.TextChoices):
    IN_BIN = "in_bin"  # hidden; everything is kept until `due_at`
    RESTORED = "restored"
    DELETED = "deleted"  # for good


class Deletion(models.Model):
    """One deletion by a person: some runs, or a project with its runs. Its row stays as the record of who deleted what.

    Written only by jobs.tracking.deletion and jobs.tracking.purging.
    """

    team = models.ForeignKey(Team, on_delete=models.CASCADE, related_name="deletions")
    project_name = models.CharField(max_length=500, blank=True)  # '': runs only
    run_names = models.JSONField(default=list)  # of the first ones
    num_runs = models.PositiveIntegerField()
    actor = models.CharField(max_length=150)
    at = models.DateTimeField(auto_now_add=True)
    due_at = models.DateTimeField()
    state = models.CharField(max_length=10, choices=DeletionState.choices, default=DeletionState.IN_BIN)
    ended_at = models.DateTimeField(null=True)
    ended_by = models.CharField(max_length=150, blank=True)
    num_files = models.PositiveIntegerField(default=0)  # artefacts that were deleted
    freed_bytes = models.BigIntegerField(default=0)  # of these

    class Meta:
        ordering = ["-id"]
        indexes = [models.Index(fields=["state", "due_at"])]

    def __str__(self) -> str:
        return f"{self.title}: {self.state}"

    @property
    def title(self) -> str:
        if self.project_name:
            return f"Project {self.project_name}"
        if self.num_runs == 1 and self.run_names:
            return str(self.run_names[0])
        return f"{self.num_runs} runs"


class FolderRemoval(models.Model):
    """Folders of a deleted attempt that a node's agent has still to remove. Deleted once they are gone."""

    node = models.ForeignKey(Node, on_delete=models.CASCADE, related_name="folder_removals")
    name = models.CharField(max_length=100)  # of the attempt's folder: <job>-<number>
    at = models.DateTimeField(auto_now_add=True)
    problem = models.CharField(max_length=300, blank=True)  # why it could not be removed yet

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["node", "name"], name="one_removal_per_node_and_folder")
        ]
