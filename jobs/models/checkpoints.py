"""Checkpoints of runs, and their copies on other nodes."""

from __future__ import annotations

from django.db import models

from jobs.models.cluster import Node
from jobs.models.runs import Run
from jobs.models.work import Attempt


class Checkpoint(models.Model):
    """One complete checkpoint of an attempt. Written only by jobs.attempts.checkpoints.

    `gone_at`, `damage` and the place are observations of the agent that last looked, and change when it looks again.
    """

    run = models.ForeignKey(Run, on_delete=models.CASCADE, related_name="checkpoints")
    attempt = models.ForeignKey(Attempt, on_delete=models.CASCADE, related_name="checkpoints")
    step = models.PositiveIntegerField()
    path = models.CharField(
        max_length=500
    )  # below the folder of the attempt's node, or below the shared root
    is_shared = models.BooleanField(default=False)
    root_id = models.CharField(max_length=32, blank=True)  # of the shared root; '': on the node, or not known
    size_bytes = models.BigIntegerField(null=True)
    validation_loss = models.FloatField(null=True)  # at this step; NULL: not validated at this step
    saved_at = models.DateTimeField()
    gone_at = models.DateTimeField(null=True)  # not seen since, although its root was there; NULL: seen
    is_given_up = models.BooleanField(default=False)  # a person started the job from an earlier step instead
    damage = models.CharField(max_length=300, blank=True)  # why it cannot be read; '': nothing is known

    class Meta:
        ordering = ["-step", "-attempt"]
        constraints = [
            models.UniqueConstraint(fields=["attempt", "step"], name="one_checkpoint_per_attempt_and_step")
        ]

    def __str__(self) -> str:
        return f"{self.run_id}@{self.step}"


class CheckpointCopy(models.Model):
    """A checkpoint that is copied to another node, or is there. Written only by jobs.attempts.transfers."""

    class CopyState(models.TextChoices):
        COPYING = "copying"
        READY = "ready"  # complete, with matching SHA-256
        FAILED = "failed"

    checkpoint = models.ForeignKey(Checkpoint, on_delete=models.CASCADE, related_name="copies")
    node = models.ForeignKey(Node, on_delete=models.CASCADE, related_name="checkpoint_copies")
    source = models.ForeignKey(Node, on_delete=models.CASCADE, related_name="+")
    state = models.CharField(max_length=10, choices=CopyState.choices, default=CopyState.COPYING)
    path = models.CharField(max_length=500)  # below the folder of `node`, or below the shared root
    root_id = models.CharField(max_length=32, blank=True)  # of the shared root; '': on the node
    files = models.JSONField(
        default=list
    )  # [[name, size, SHA-256], ...]; empty until the source has read them
    size_bytes = models.BigIntegerField(null=True)
    sent_bytes = models.BigIntegerField(default=0)
    received_bytes = models.BigIntegerField(default=0)
    num_tries = models.PositiveIntegerField(default=0)  # that ended with a wrong SHA-256
    reason = models.CharField(max_length=300, blank=True)  # why it failed
    requested_at = models.DateTimeField(auto_now_add=True)
    ended_at = models.DateTimeField(null=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["checkpoint", "node"], name="one_copy_per_checkpoint_and_node")
        ]
        indexes = [models.Index(fields=["node", "state"]), models.Index(fields=["source", "state"])]


class CheckpointPart(models.Model):
    """A compressed part of a copy on its way. Deleted once received, so few exist at a time."""

    copy = models.ForeignKey(CheckpointCopy, on_delete=models.CASCADE, related_name="parts")
    number = models.PositiveIntegerField()
    content = models.BinaryField()

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["copy", "number"], name="one_part_per_copy_and_number")
        ]
