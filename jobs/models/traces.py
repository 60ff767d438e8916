"""Recordings of single steps: timelines, and profiler traces on request."""

from __future__ import annotations

from django.db import models

from jobs.models.cluster import Node
from jobs.models.runs import Run
from jobs.models.work import Attempt


class StepTimeline(models.Model):
    """Events of one rank in one step (engine.telemetry.wire.TimelineEvent, as lists)."""

    run = models.ForeignKey(Run, on_delete=models.CASCADE, related_name="timelines")
    attempt_number = models.PositiveIntegerField()
    step = models.PositiveIntegerField()
    rank = models.PositiveIntegerField()
    stage = models.PositiveIntegerField()
    data_rank = models.PositiveIntegerField()
    tensor_rank = models.PositiveIntegerField(default=0)
    began_at = models.FloatField()  # unix seconds; the times in `events` are relative to it
    step_s = models.FloatField()
    events = models.JSONField()
    is_cut = models.BooleanField(default=False)

    class Meta:
        ordering = ["data_rank", "tensor_rank", "stage"]
        constraints = [
            models.UniqueConstraint(
                fields=["run", "attempt_number", "step", "rank"], name="one_timeline_per_step_and_rank"
            )
        ]


class Trace(models.Model):
    """A request to profile the next steps of a running attempt. Written only by jobs.attempts.traces."""

    attempt = models.ForeignKey(Attempt, on_delete=models.CASCADE, related_name="traces")
    number = models.PositiveIntegerField()  # counts the requests of the job
    num_steps = models.PositiveIntegerField()
    ranks = models.JSONField()  # list of rank numbers
    actor = models.CharField(max_length=150)
    asked_at = models.DateTimeField()
    ended_at = models.DateTimeField(null=True)  # every rank has answered, or the attempt has ended
    reason = models.CharField(max_length=200, blank=True)  # why there is no trace

    class Meta:
        ordering = ["id"]
        indexes = [models.Index(fields=["attempt", "ended_at"])]


class TraceFile(models.Model):
    """One rank's trace for one request. Created when the rank has written it; uploaded by the agent of its node."""

    trace = models.ForeignKey(Trace, on_delete=models.CASCADE, related_name="files")
    rank = models.PositiveIntegerField()
    node = models.ForeignKey(Node, on_delete=models.CASCADE, related_name="+")
    name = models.CharField(max_length=100, blank=True)  # '': the rank could not write it
    first_step = models.PositiveIntegerField()
    size_bytes = models.BigIntegerField(null=True)  # NULL: not uploaded
    reason = models.CharField(max_length=200, blank=True)  # why it cannot be uploaded

    class Meta:
        ordering = ["rank"]
        constraints = [models.UniqueConstraint(fields=["trace", "rank"], name="one_file_per_trace_and_rank")]

    @property
    def last_step(self) -> int:
        return self.first_step + self.trace.num_steps - 1


class TraceChunk(models.Model):
    """A part of a trace file. Stored in the database because the web server cannot read the node's disk."""

    file = models.ForeignKey(TraceFile, on_delete=models.CASCADE, related_name="chunks")
    seq = models.PositiveIntegerField()
    content = models.BinaryField()

    class Meta:
        ordering = ["seq"]
        constraints = [models.UniqueConstraint(fields=["file", "seq"], name="one_piece_per_file_and_seq")]
