"""Log tails uploaded from other machines than the web server's."""

from __future__ import annotations

from django.db import models

from jobs.models.cluster import Node
from jobs.models.work import Attempt


class UploadedLog(models.Model):
    """The last log lines of one rank, requested by a viewer and uploaded by the agent of the rank's node."""

    attempt = models.ForeignKey(Attempt, on_delete=models.CASCADE, related_name="uploaded_logs")
    rank = models.PositiveIntegerField()
    node = models.ForeignKey(Node, on_delete=models.CASCADE, related_name="+")
    wanted_until = models.DateTimeField()
    read_at = models.DateTimeField(null=True)  # when the agent last found new lines; NULL: not uploaded yet
    text = models.TextField(blank=True)
    is_cut = models.BooleanField(default=False)
    size_bytes = models.BigIntegerField(null=True)  # of the file; NULL: no file
    reason = models.CharField(max_length=200, blank=True)  # why there are no lines

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["attempt", "rank"], name="one_uploaded_log_per_attempt_and_rank")
        ]
        indexes = [models.Index(fields=["node", "wanted_until"])]

    def __str__(self) -> str:
        return f"{self.attempt_id} rank {self.rank}"
