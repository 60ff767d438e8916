"""Events of pools and of teams' shares in them."""

from __future__ import annotations

from django.db import models

from jobs.models.cluster import Pool
from jobs.models.people import Team


class PoolEvent(models.Model):
    """One change of a pool, or of one team's share in it. Append-only."""

    pool = models.ForeignKey(Pool, on_delete=models.CASCADE, related_name="events")
    team = models.ForeignKey(Team, on_delete=models.CASCADE, null=True, related_name="share_events")
    at = models.DateTimeField(auto_now_add=True)
    actor = models.CharField(max_length=150)  # a user name
    text = models.TextField()  # 'Largest gang: no limit -> 8 devices', one line per value

    class Meta:
        ordering = ["id"]
