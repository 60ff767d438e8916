"""What has been changed of a pool and of teams' shares in it, and by whom."""

from __future__ import annotations

from django.db import models

from jobs.models.cluster import Pool
from jobs.models.people import Team


class PoolEvent(models.Model):
    """One change that a person made: of the pool, or of one team's share in it. Only ever added to."""

    pool = models.ForeignKey(Pool, on_delete=models.CASCADE, related_name="events")
    team = models.ForeignKey(Team, on_delete=models.CASCADE, null=True, related_name="share_events")
    at = models.DateTimeField(auto_now_add=True)
    actor = models.CharField(max_length=150)  # a user name
    text = models.TextField()  # 'Largest gang: no limit -> 8 devices', one line a value

    class Meta:
        ordering = ["id"]
