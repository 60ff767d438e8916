"""Measured speeds of devices and of the links between them."""

from __future__ import annotations

from django.db import models
from django.db.models import Q

from jobs.models.cluster import Node, Pool
from jobs.models.runs import Run


class DeviceProfile(models.Model):
    """Newest probe results of one kind of device with one torch version. Written by jobs.planning.device_profiles."""

    name = models.CharField(max_length=120)  # as the driver reports it
    kind = models.CharField(max_length=10)  # cpu or cuda
    cores = models.FloatField(null=True)  # CPU devices: number of cores
    torch = models.CharField(max_length=40)
    # figures: {name: {"value", "low", "high", "n"}}, names from engine.hardware.probe_results.PROBE_FIGURES
    # missing: {name: [status, reason]}
    figures = models.JSONField(default=dict)
    missing = models.JSONField(default=dict)
    curves = models.JSONField(default=dict)  # {number format: [[size, FLOP/s], ...]} of square products
    took_s = models.FloatField()
    node = models.ForeignKey(Node, on_delete=models.SET_NULL, related_name="+", null=True)
    device = models.CharField(max_length=80)  # id of the measured device
    measured_at = models.DateTimeField()

    class Meta:
        ordering = ["-measured_at"]
        constraints = [
            models.UniqueConstraint(
                fields=["name", "kind", "cores", "torch"],
                condition=Q(cores__isnull=False),
                name="one_profile_per_share_of_cores",
            ),
            models.UniqueConstraint(
                fields=["name", "kind", "torch"],
                condition=Q(cores__isnull=True),
                name="one_profile_per_device_name",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.name} under torch {self.torch}"


class LinkProfile(models.Model):
    """Latency and bandwidth of the links between a pool's devices, fitted to one collective of one fabric test.

    Written by jobs.planning.links.
    """

    run = models.ForeignKey(Run, on_delete=models.CASCADE, related_name="links")
    pool = models.ForeignKey(Pool, on_delete=models.CASCADE, related_name="links")
    device = models.CharField(max_length=120)  # its name
    algorithm = models.CharField(max_length=20)  # one of engine.hardware.fabric_test.ALGORITHMS
    is_between_nodes = models.BooleanField()
    num_devices = models.PositiveIntegerField()
    latency_s = models.FloatField()  # of one hop
    bytes_per_s = models.FloatField()
    error_share = models.FloatField()  # median error of the fit
    num_sizes = models.PositiveIntegerField()
    measured_at = models.DateTimeField()

    class Meta:
        ordering = ["-measured_at", "id"]
        constraints = [
            models.UniqueConstraint(fields=["run", "algorithm"], name="one_fit_per_run_and_algorithm")
        ]
