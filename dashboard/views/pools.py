"""The pools page: nodes and devices with their newest readings, and who holds them."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.conf import settings
from django.db.models import Count, Prefetch, Q
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.utils import timezone
from django.views.decorators.http import require_safe

from dashboard import access
from dashboard.templatetags.units import as_bytes
from engine.spec import flatten
from jobs.models import Device, Job, Lease, Node, Pool
from jobs.states import JobState

# Shown on every device's card, in this order; each is a metric of scope device.
SHOWN = ("utilisation_pct", "memory_used_bytes", "power_w", "temperature_celsius")


@dataclass(frozen=True)
class Figure:
    name: str
    value: float | str | None
    status: str
    reason: str
    bar_pct: float | None = None  # how full; None where no whole is known


@dataclass(frozen=True)
class DeviceCard:
    device: Device
    figures: list[Figure]
    is_stale: bool
    holder: Job | None
    is_held: bool  # also by a job of a team that the reader does not belong to


@dataclass(frozen=True)
class NodeCard:
    node: Node
    is_reachable: bool
    devices: list[DeviceCard]
    facts: list[tuple[str, Any]]


@require_safe
def listing(request: HttpRequest) -> HttpResponse:
    now = timezone.now()
    teams = set(access.teams_of(request.user).values_list("id", flat=True))
    held = Lease.objects.filter(is_active=True).select_related("attempt__job__run", "attempt__job__owner")
    devices = Device.objects.filter(is_present=True).prefetch_related(
        Prefetch("leases", queryset=held, to_attr="held_by")
    )
    nodes = Node.objects.order_by("name").prefetch_related(Prefetch("devices", queryset=devices))
    waiting = Count("jobs", filter=Q(jobs__state=JobState.QUEUED))
    pools = (
        Pool.objects.order_by("name")
        .annotate(num_waiting=waiting)
        .prefetch_related(Prefetch("nodes", nodes), "allowed_teams")
    )
    context = {"pools": [(pool, [_node(node, teams, now) for node in pool.nodes.all()]) for pool in pools]}
    return render(
        request, "pools/_list.html" if request.headers.get("HX-Request") else "pools/page.html", context
    )


def _node(node: Node, teams: set[int], now: datetime) -> NodeCard:
    is_reachable = _is_fresh(node.heartbeat_at, now)
    return NodeCard(
        node, is_reachable, [_device(device, teams, now) for device in node.devices.all()], _facts(node.facts)
    )


def _device(device: Device, teams: set[int], now: datetime) -> DeviceCard:
    lease = device.held_by[0] if device.held_by else None
    job = lease.attempt.job if lease and lease.attempt.job.team_id in teams else None
    figures = [_figure(name, device) for name in SHOWN]
    return DeviceCard(device, figures, not _is_fresh(device.latest_at, now), job, lease is not None)


def _figure(name: str, device: Device) -> Figure:
    value = device.latest.get("metrics", {}).get(name)
    if value is None:
        status, reason = device.latest.get("missing", {}).get(
            name, ("absent", "The node has sent no reading yet.")
        )
        return Figure(name, None, status, reason)
    whole = {"utilisation_pct": 100, "memory_used_bytes": device.memory_bytes}.get(name)
    return Figure(
        name, value, "measured", "", 100 * value / whole if whole and isinstance(value, int | float) else None
    )


def _facts(facts: dict[str, Any]) -> list[tuple[str, Any]]:
    """What the inventory found out, one line each; nested facts are named by their path."""
    return [_fact(name, value) for name, value in sorted(flatten(facts).items()) if value is not None]


def _fact(name: str, value: Any) -> tuple[str, Any]:
    if name.endswith("_bytes"):
        return name.removesuffix("_bytes").replace("_", " "), as_bytes(value)
    return name.replace("_", " "), int(value) if isinstance(value, float) and value.is_integer() else value


def _is_fresh(at: datetime | None, now: datetime) -> bool:
    return at is not None and now - at < timedelta(seconds=settings.UNREACHABLE_AFTER_S)
