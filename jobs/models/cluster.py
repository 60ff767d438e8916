"""The hardware: pools of nodes, nodes, and the devices in them."""

from __future__ import annotations

from django.db import models
from django.db.models import Case, Value, When

from jobs.models.people import Team
from jobs.states.nodes import AdminState, DeviceHealth, DrainPolicy, Health


class Pool(models.Model):
    """A named set of nodes with one queue."""

    name = models.SlugField(max_length=50, unique=True)
    is_open = models.BooleanField(default=True)  # a closed pool starts nothing new
    # Whether a job that no node can hold alone may have its ranks on several; they need a shared checkpoint folder.
    allows_several_nodes = models.BooleanField(default=False)
    joins_freely = models.BooleanField(default=False)  # whether nodes may join without a token
    labels = models.JSONField(default=dict)  # {"gpu": "h200"}: what a spec may require
    # What the pool allows. NULL: no limit of its own. A team's weight stands in its Share.
    default_time_limit_s = models.PositiveIntegerField(null=True)  # of a spec that names none
    max_time_limit_s = models.PositiveIntegerField(null=True)
    max_gang = models.PositiveIntegerField(null=True)  # devices of one job
    allowed_teams = models.ManyToManyField(Team, related_name="pools", blank=True)  # none: every team
    # What it costs. NULL: nobody has said, so no money is booked.
    price_per_device_hour = models.FloatField(null=True)
    tariff_per_kwh = models.FloatField(null=True)
    currency = models.CharField(max_length=3, default="EUR")
    # What its electricity emits, and what the building takes on top of it. NULL: nobody has said, so nothing is told.
    carbon_g_per_kwh = models.FloatField(null=True)
    pue = models.FloatField(
        null=True
    )  # energy of the whole site over that of its computers; NULL counts as 1
    # What becomes of attempts that hold devices and do not use them: jobs.scheduler.idle. NULL: nothing
    idle_after_s = models.PositiveIntegerField(null=True)  # the window that is looked at
    idle_below_pct = models.FloatField(default=5.0)  # utilisation below which a device counts as unused
    idle_warn_s = models.PositiveIntegerField(default=900)  # from the warning to the stop
    idle_extension_s = models.PositiveIntegerField(default=3600)  # that a person may add, once
    created_at = models.DateTimeField(auto_now_add=True)

    def __str__(self) -> str:
        return self.name


class Node(models.Model):
    """One machine. Its id is also the name of its Celery queue: node.<id>."""

    id = models.CharField(primary_key=True, max_length=40)
    pool = models.ForeignKey(Pool, on_delete=models.PROTECT, related_name="nodes")
    name = models.CharField(max_length=100)
    # Both axes are written only by jobs.states.nodes.
    admin_state = models.CharField(max_length=12, choices=AdminState.choices, default=AdminState.OPEN)
    admin_reason = models.CharField(max_length=300, blank=True)
    admin_until = models.DateTimeField(
        null=True
    )  # of a cordon: when it ends by itself; of a drain: the deadline
    drain_policy = models.CharField(max_length=10, choices=DrainPolicy.choices, blank=True)
    health = models.CharField(max_length=12, choices=Health.choices, default=Health.OK)
    health_reason = models.CharField(max_length=300, blank=True)
    is_cordoned = models.GeneratedField(  # no new work
        expression=Case(When(admin_state="open", then=Value(False)), default=Value(True)),
        output_field=models.BooleanField(),
        db_persist=True,
    )
    secret_sha256 = models.CharField(max_length=64, blank=True)  # of the key in the node's own folder
    machine_id = models.CharField(max_length=64, blank=True)
    boot_id = models.CharField(max_length=64, blank=True)
    facts = models.JSONField(
        default=dict
    )  # hostname, cores, memory, versions, as engine.telemetry.inventory reads them
    host = models.JSONField(default=dict)  # newest host-level readings
    joined_at = models.DateTimeField(auto_now_add=True)
    heartbeat_at = models.DateTimeField(null=True)

    def __str__(self) -> str:
        return self.name

    @property
    def is_simulated(self) -> bool:
        """No machine stands behind it: told on every page where it appears."""
        return bool(self.facts.get("simulated"))


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
    health = models.CharField(max_length=10, choices=DeviceHealth.choices, default=DeviceHealth.OK)
    health_reason = models.CharField(max_length=300, blank=True)
    # {"metrics": {name: value}, "missing": {name: [status, reason]}}, as the sampler last read it
    latest = models.JSONField(default=dict)
    latest_at = models.DateTimeField(null=True)
    # Who wants it probed anew, and why the last probe of it came to nothing. Written by jobs.planning.device_profiles
    probe_wanted_by = models.CharField(max_length=150, blank=True)
    probe_failure = models.CharField(max_length=300, blank=True)

    class Meta:
        ordering = ["node", "index"]

    def __str__(self) -> str:
        return f"{self.name} #{self.index}"
