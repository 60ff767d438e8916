"""Join tokens and events of nodes."""

from __future__ import annotations

from django.db import models

from jobs.models.cluster import Device, Node, Pool


class NodeToken(models.Model):
    """A token that lets one node join one pool, once, before it expires. Only its SHA-256 is stored."""

    pool = models.ForeignKey(Pool, on_delete=models.CASCADE, related_name="node_tokens")
    sha256 = models.CharField(max_length=64, unique=True)
    prefix = models.CharField(max_length=12)  # shown in lists to distinguish tokens
    actor = models.CharField(max_length=150)  # user who created it
    created_at = models.DateTimeField(auto_now_add=True)
    expires_at = models.DateTimeField()
    used_at = models.DateTimeField(null=True)
    revoked_by = models.CharField(max_length=150, blank=True)  # user who revoked it before it was used
    node = models.ForeignKey(Node, on_delete=models.SET_NULL, null=True, related_name="join_tokens")

    def __str__(self) -> str:
        return f"{self.prefix}... for {self.pool}"


class NodeEvent(models.Model):
    """One event of a node or of one of its devices: who, what, why. Append-only."""

    node = models.ForeignKey(Node, on_delete=models.CASCADE, related_name="events")
    device = models.ForeignKey(Device, on_delete=models.CASCADE, null=True, related_name="events")
    at = models.DateTimeField(auto_now_add=True)
    actor = models.CharField(max_length=150)  # a user name, or scheduler, agent:<node>
    kind = models.CharField(max_length=40)  # node.<admin state>, health.<state>, device.<health>, node.<what>
    text = models.TextField(blank=True)  # the reason
    until = models.DateTimeField(null=True)

    class Meta:
        ordering = ["id"]
