"""The hardware: pools of nodes, nodes, and the devices in them."""

from __future__ import annotations

from django.db import models


class Pool(models.Model):
    """A named set of nodes with one queue."""

    name = models.SlugField(max_length=50, unique=True)
    is_open = models.BooleanField(default=True)  # a closed pool starts nothing new
    # Whether a job that no node can hold alone may have its ranks on several; they need a shared checkpoint folder.
    allows_several_nodes = models.BooleanField(default=False)
    created_at = models.DateTimeField(auto_now_add=True)

    def __str__(self) -> str:
        return self.name


class Node(models.Model):
    """One machine. Its id is also the name of its Celery queue: node.<id>."""

    id = models.CharField(primary_key=True, max_length=40)
    pool = models.ForeignKey(Pool, on_delete=models.PROTECT, related_name="nodes")
    name = models.CharField(max_length=100)
    is_cordoned = models.BooleanField(default=False)  # no new work
    facts = models.JSONField(
        default=dict
    )  # hostname, cores, memory, versions, as engine.telemetry.inventory reads them
    host = models.JSONField(default=dict)  # newest host-level readings
    joined_at = models.DateTimeField(auto_now_add=True)
    heartbeat_at = models.DateTimeField(null=True)

    def __str__(self) -> str:
        return self.name


class Device(models.Model):
    """One GPU (by UUID), or one share of a machine's cores."""

    id = models.CharField(primary_key=True, max_length=80)
    node = models.ForeignKey(Node, on_delete=models.CASCADE, related_name="devices")
    index = models.PositiveIntegerField()
    kind = models.CharField(max_length=10)  # cpu or cuda
    name = models.CharField(max_length=120)
    cores = models.FloatField(null=True)  # CPU devices: cores allotted
    memory_bytes = models.BigIntegerField(null=True)
    is_present = models.BooleanField(default=True)  # False: the node reports it no more
    # {"metrics": {name: value}, "missing": {name: [status, reason]}}, as the sampler last read it
    latest = models.JSONField(default=dict)
    latest_at = models.DateTimeField(null=True)

    class Meta:
        ordering = ["node", "index"]

    def __str__(self) -> str:
        return f"{self.name} #{self.index}"
