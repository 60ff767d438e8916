"""Cards of devices with their newest readings, and system info of nodes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from dashboard.html.format import as_bytes, as_figure, as_pct, as_share
from engine.spec.spec import flatten
from jobs.accounting import utilisation
from jobs.models import Device, Job, Node
from jobs.nodes.heartbeat import is_fresh
from jobs.nodes.occupants import get_lease

# Shown on every device's card, in this order; each is a metric of scope device.
CARD_METRICS = ("utilisation_pct", "memory_used_bytes", "power_w", "temperature_celsius")


@dataclass(frozen=True)
class ShownReading:
    name: str
    value: float | str | None
    status: str
    reason: str
    bar_pct: float | None = None  # share of the maximum; None where the maximum is not known


@dataclass(frozen=True)
class DeviceCard:
    device: Device
    readings: list[ShownReading]
    is_stale: bool
    job: Job | None
    is_held: bool  # also true for a job of a team that the user does not belong to
    unused_for_s: float | None = None  # held and measured, but not used; None: used, or not measured


def build_card(device: Device, can_see: Callable[[int], bool], now: datetime) -> DeviceCard:
    lease = get_lease(device)
    job = lease.attempt.job if lease and can_see(lease.attempt.job.team_id) else None
    readings = [_build_reading(name, device) for name in CARD_METRICS]
    since = utilisation.unused_since(lease, now) if lease else None
    is_stale = not is_fresh(device.latest_at, now)
    return DeviceCard(
        device, readings, is_stale, job, lease is not None, (now - since).total_seconds() if since else None
    )


def _build_reading(name: str, device: Device) -> ShownReading:
    value = device.latest.get("metrics", {}).get(name)
    if value is None:
        status, reason = device.latest.get("missing", {}).get(
            name, ("absent", "The node has sent no reading yet.")
        )
        return ShownReading(name, None, status, reason)
    whole = {"utilisation_pct": 100, "memory_used_bytes": device.memory_bytes}.get(name)
    return ShownReading(
        name, value, "measured", "", 100 * value / whole if whole and isinstance(value, int | float) else None
    )


def as_ms(value: float) -> str:
    return f"{value:.3g} ms"


# The sampler's metrics of the whole machine -> title and formatter.
HOST_METRICS: dict[str, tuple[str, Callable[[Any], str]]] = {
    "cpu_pct": ("CPU busy", as_pct),
    "memory_used_bytes": ("Memory used", as_bytes),
    "memory_total_bytes": ("Memory", as_bytes),
    "disk_free_bytes": ("Disk free", as_bytes),
    "disk_total_bytes": ("Disk", as_bytes),
    "load_1min": ("Load, 1 min", as_figure),
    "cpu_pressure_share": ("CPU pressure", as_share),
    "memory_pressure_share": ("Memory pressure", as_share),
    "io_pressure_share": ("IO pressure", as_share),
    "sampling_tick_ms": ("Sampling per tick", as_ms),
    "sampling_core_share": ("Sampling share of a core", as_share),
}


def list_host_readings(node: Node, now: datetime) -> list[tuple[str, str]]:
    """Format the machine's newest readings; an empty list when its heartbeat is late."""
    if not is_fresh(node.heartbeat_at, now):
        return []
    return [
        (title, write(node.host[name]))
        for name, (title, write) in HOST_METRICS.items()
        if node.host.get(name) is not None
    ]


def list_facts(facts: dict[str, Any]) -> list[tuple[str, Any]]:
    """List the facts of the inventory as (name, text); nested facts are named by their path."""
    return [_format_fact(name, value) for name, value in sorted(flatten(facts).items()) if value is not None]


def _format_fact(name: str, value: Any) -> tuple[str, Any]:
    if name.endswith("_bytes"):
        return name.removesuffix("_bytes").replace("_", " "), as_bytes(value)
    return name.replace("_", " "), int(value) if isinstance(value, float) and value.is_integer() else value
