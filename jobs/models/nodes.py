"""How nodes come and go: one-time join tokens, and the events that tell a node's story."""

from __future__ import annotations

from django.db import models

from jobs.models.cluster import Device, Node, Pool


class NodeToken(models.Model):
    """Lets one node join one pool, once, for a limited time. Only its SHA-256 is kept."""

    pool = models.ForeignKey(Pool, on_delete=models.CASCADE, related_name="node_tokens")
    sha256 = models.CharField(max_length=64, unique=True)
    prefix = models.CharField(max_length=12)  # shown in lists, so that a person can tell tokens apart
    actor = models.CharField(max_length=150)  # who made it
    created_at = models.DateTimeField(auto_now_add=True)
    expires_at = models.DateTimeField()
    used_at = models.DateTimeField(null=True)
    revoked_by = models.CharField(max_length=150, blank=True)  # who has taken it back, unused
    node = models.ForeignKey(Node, on_delete=models.SET_NULL, null=True, related_name="join_tokens")

    def __str__(self) -> str:
        return f"{self.prefix}... for {self.pool}"


class NodeEvent(models.Model):
    """Something that happened to a node or one of its devices: who, what, why. Only ever added to."""

    node = models.ForeignKey(Node, on_delete=models.CASCADE, related_name="events")
    device = models.ForeignKey(Device, on_delete=models.CASCADE, null=True, related_name="events")
    at = models.DateTimeField(auto_now_add=True)
    actor = models.CharField(max_length=150)  # a user name, or scheduler, agent:<node>
    kind = models.CharField(max_length=40)  # node.<admin state>, health.<state>, device.<health>, node.<what>
    text = models.TextField(blank=True)  # the reason
    until = models.DateTimeField(null=True)

    class Meta:
        ordering = ["id"]
