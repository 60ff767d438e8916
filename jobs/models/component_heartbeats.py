"""Signs of life of Fourwalls's own parts."""

from __future__ import annotations

from django.db import models


class Sign(models.Model):
    """When a part last came round its loop. Nodes have heartbeats of their own."""

    part = models.CharField(primary_key=True, max_length=40)  # 'scheduler'
    at = models.DateTimeField()
