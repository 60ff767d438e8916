"""Heartbeats of Fourwalls's own processes."""

from __future__ import annotations

from django.db import models


class ComponentHeartbeat(models.Model):
    """When a component last completed its loop. Nodes have their own heartbeat column."""

    component = models.CharField(primary_key=True, max_length=40)  # 'scheduler'
    at = models.DateTimeField()
