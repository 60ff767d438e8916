"""Pools, nodes and devices."""

from __future__ import annotations

from django.db import models
from django.db.models import Case, Value, When

from jobs.models.people import Team
from jobs.states.nodes import AdminState, DeviceHealth, DrainPolicy, Health


class Pool(models.Model):
    """A named set of nodes with one queue."""

    name = models.SlugField(max_length=50, unique=True)
    is_open = models.BooleanField(default=True)  # a closed pool starts nothing new
    # Whether a job that fits on no single node may spread its ranks; the nodes need a shared checkpoint folder.
    allows_several_nodes = models.BooleanField(default=False)
    joins_freely = models.BooleanField(default=False)  # whether nodes may join without a token
    labels = models.JSONField(default=dict)  # {"gpu": "h200"}: labels that a spec may require
    # Limits of the pool. NULL: no limit. A team's weight is in its Share.
    default_time_limit_s = models.PositiveIntegerField(null=True)  # for a spec without a time limit
    max_time_limit_s = models.PositiveIntegerField(null=True)
    max_gang = models.PositiveIntegerField(null=True)  # devices of one job
    allowed_teams = models.ManyToManyField(Team, related_name="pools", blank=True)  # empty: every team
    # Prices. NULL: not known, so no costs are charged.
    price_per_device_hour = models.FloatField(null=True)
    tariff_per_kwh = models.FloatField(null=True)
    currency = models.CharField(max_length=3, default="EUR")
    # Emissions of its electricity and overhead of the building. NULL: not known, so no emissions are shown.
    carbon_g_per_kwh = models.FloatField(null=True)
    pue = models.FloatField(
        null=True
    )  # power usage effectiveness: energy of the site over energy of its computers; NULL counts as 1
    # Limits for attempts that hold devices without using them (jobs.scheduler.idle). NULL: not checked
    idle_after_s = models.PositiveIntegerField(null=True)  # length of the window
    idle_below_pct = models.FloatField(default=5.0)  # a device below this utilisation counts as unused
    idle_warn_s = models.PositiveIntegerField(default=900)  # from the warning to the stop
    idle_extension_s = models.PositiveIntegerField(default=3600)  # extra time that a person may add, once
    created_at = models.DateTimeField(auto_now_add=True)

    def __str__(self) -> str:
        return self.name


class Node(models.Model):
    """One machine. The name of its Celery queue is node.<id>."""

    id = models.CharField(primary_key=True, max_length=40)
    pool = models.ForeignKey(Pool, on_delete=models.PROTECT, related_name="nodes")
    name = models.CharField(max_length=100)
    # admin_state and health are written only by jobs.lifecycle.node_transitions.
    admin_state = models.CharField(max_length=12, choices=AdminState.choices, default=AdminState.OPEN)
    admin_reason = models.CharField(max_length=300, blank=True)
    admin_until = models.DateTimeField(null=True)  # end of a cordon or maintenance; deadline of a drain
    drain_policy = models.CharField(max_length=10, choices=DrainPolicy.choices, blank=True)
    health = models.CharField(max_length=12, choices=Health.choices, default=Health.OK)
    health_reason = models.CharField(max_length=300, blank=True)
    is_cordoned = models.GeneratedField(  # no new work
        expression=Case(When(admin_state="open", then=Value(False)), default=Value(True)),
        output_field=models.BooleanField(),
        db_persist=True,
    )
    secret_sha256 = models.CharField(max_length=64, blank=True)  # of the key in the node's folder
    machine_id = models.CharField(max_length=64, blank=True)
    boot_id = models.CharField(max_length=64, blank=True)
    facts = models.JSONField(
        default=dict
    )  # hostname, cores, memory, versions: engine.telemetry.inventory.node_facts
    host = models.JSONField(default=dict)  # newest readings of the host
    # Why the files of attempts or checkpoints cannot be seen now; '': they can. Written by jobs.attempts.checkpoints
    storage_problem = models.CharField(max_length=300, blank=True)
    joined_at = models.DateTimeField(auto_now_add=True)
    heartbeat_at = models.DateTimeField(null=True)

    def __str__(self) -> str:
        return self.name

    @property
    def is_simulated(self) -> bool:
        """Whether there is no real machine. Every page that shows the node marks it as simulated."""
        return bool(self.facts.get("simulated"))


class Device(models.Model):
    """One GPU (id: its UUID), or one share of a machine's cores."""

    id = models.CharField(primary_key=True, max_length=80)
    node = models.ForeignKey(Node, on_delete=models.CASCADE, related_name="devices")
    index = models.PositiveIntegerField()
    kind = models.CharField(max_length=10)  # cpu or cuda
    name = models.CharField(max_length=120)
    cores = models.FloatField(null=True)  # CPU devices: number of cores
    memory_bytes = models.BigIntegerField(null=True)
    is_present = models.BooleanField(default=True)  # False: the node does not report it any more
    health = models.CharField(max_length=10, choices=DeviceHealth.choices, default=DeviceHealth.OK)
    health_reason = models.CharField(max_length=300, blank=True)
    # Newest reading of the sampler: {"metrics": {name: value}, "missing": {name: [status, reason]}}
    latest = models.JSONField(default=dict)
    latest_at = models.DateTimeField(null=True)
    # User who asked for a new probe, and why the last probe failed. Written by jobs.planning.device_profiles
    probe_wanted_by = models.CharField(max_length=150, blank=True)
    probe_failure = models.CharField(max_length=300, blank=True)

    class Meta:
        ordering = ["node", "index"]

    def __str__(self) -> str:
        return f"{self.name} #{self.index}"
