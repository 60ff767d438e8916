"""Signs of life of Fourwalls's own parts."""

from __future__ import annotations

from django.db import models


class ComponentHeartbeat(models.Model):
    """When a part last came round its loop. Nodes have heartbeats of their own."""

    component = models.CharField(primary_key=True, max_length=40)  # 'scheduler'
    at = models.DateTimeField()
