"""Data of the pool map in columns: devices with occupant, readings and health.

The map is fetched again every few seconds. With 8,000 devices, model objects would take seconds; here each row is a
tuple, and only the four readings that are drawn are decoded.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec
from django.conf import settings
from django.db.models import TextField
from django.db.models.functions import Cast
from django.utils import timezone

from jobs.epoch import Epoch
from jobs.models import Attempt, Device, Lease, Node, Pool
from jobs.states.jobs import ATTEMPT_LIVE
from jobs.states.nodes import READY, AdminState, describe_node

NO_READING = ("absent", "The node has sent no reading yet.")
STALE = ("stale", "The last reading is too old.")


class LimitReadings(msgspec.Struct):
    """The newest readings of a device for the four limits."""

    utilisation_pct: Any = None
    memory_used_bytes: Any = None
    memory_bandwidth_share: Any = None
    power_w: Any = None


class LatestReadings(msgspec.Struct):
    metrics: LimitReadings = msgspec.field(default_factory=LimitReadings)
    missing: dict[str, tuple[str, str]] = {}


# Column -> metric, and the conversion of its value and the device's memory to the drawn number
LIMITS: dict[str, tuple[str, Callable[[float, int | None], float | None]]] = {
    "compute": ("utilisation_pct", lambda value, memory: round(value)),
    "memory": ("memory_used_bytes", lambda value, memory: round(100 * value / memory) if memory else None),
    "bandwidth": ("memory_bandwidth_share", lambda value, memory: round(100 * value)),
    "power": ("power_w", lambda value, memory: round(value)),
}
NO_CAPACITY = ("absent", "The device does not report its memory size.")
decode = msgspec.json.Decoder(LatestReadings).decode


def build_map(can_see: Callable[[int], bool]) -> dict[str, Any]:
    """Return the map in six queries.

    Numbers are percent (compute, memory, bandwidth) and watts. An absent number is -1 - i, where i is the index of its
    reason in `reasons`.
    """
    pools = list(Pool.objects.order_by("name").values_list("id", "name"))
    nodes = _read_nodes({pool: index for index, (pool, _) in enumerate(pools)})
    occupants, occupant_by_device = _read_occupants(can_see)
    return {
        "pools": [name for _, name in pools],
        "nodes": nodes,
        "holders": occupants,
        **_read_devices({node: index for index, node in enumerate(nodes["id"])}, occupant_by_device),
    }


def _read_nodes(pool_index: dict[int, int]) -> dict[str, list[Any]]:
    silent_before = timezone.now().timestamp() - settings.UNREACHABLE_AFTER_S
    rows = Node.objects.exclude(admin_state=AdminState.RETIRED).order_by("pool__name", "name", "id")
    found: dict[str, list[Any]] = {"id": [], "name": [], "pool": [], "state": [], "is_simulated": []}
    columns = ("id", "name", "pool_id", "admin_state", "health", Epoch("heartbeat_at"), "facts__simulated")
    for node, name, pool, admin_state, health, heartbeat, simulated in rows.values_list(*columns):
        found["id"].append(node)
        found["name"].append(name)
        found["pool"].append(pool_index[pool])
        found["state"].append(_state(admin_state, health, (heartbeat or 0) < silent_before))
        found["is_simulated"].append(int(bool(simulated)))
    return found


def _state(admin_state: str, health: str, is_silent: bool) -> str:
    """Return the word for the state of the node; 'open' if nothing keeps jobs from it."""
    state = describe_node(admin_state, health, is_silent=is_silent)
    return str(AdminState.OPEN) if state == READY else state


def _read_occupants(can_see: Callable[[int], bool]) -> tuple[list[list[str] | None], dict[str, int]]:
    """Return the live attempts (job, owner, team, run; None for another team's), and device -> index of its attempt."""
    index: dict[int, int] = {}
    occupants: list[list[str] | None] = []
    columns = ("id", "job__team_id", "job__name", "job__owner__username", "job__team__name", "job__run__id")
    for attempt, team, *names in (
        Attempt.objects.filter(state__in=ATTEMPT_LIVE).order_by().values_list(*columns)
    ):
        index[attempt] = len(occupants)
        occupants.append(names if can_see(team) else None)
    leases = Lease.objects.filter(is_active=True).order_by().values_list("device_id", "attempt_id")
    return occupants, {device: index[attempt] for device, attempt in leases if attempt in index}


def _read_devices(node_index: dict[str, int], occupant_by_device: dict[str, int]) -> dict[str, Any]:
    fresh_after = timezone.now().timestamp() - settings.UNREACHABLE_AFTER_S
    reasons: dict[tuple[str, str], int] = {}
    columns: dict[str, list[Any]] = {name: [] for name in ("node", "index", "health", "holder", *LIMITS)}
    rows = Device.objects.filter(is_present=True).order_by(
        "node__pool__name", "node__name", "node_id", "index"
    )
    wanted = (
        "id",
        "node_id",
        "index",
        "health",
        "memory_bytes",
        Epoch("latest_at"),
        Cast("latest", TextField()),
    )
    for device, node, number, health, memory, at, latest in rows.values_list(*wanted):
        if node not in node_index:
            continue
        columns["node"].append(node_index[node])
        columns["index"].append(number)
        columns["health"].append(health)
        columns["holder"].append(occupant_by_device.get(device, -1))
        readings = decode(latest)
        is_stale = at is not None and at < fresh_after
        for name, (metric, convert) in LIMITS.items():
            value = getattr(readings.metrics, metric)
            drawn = convert(value, memory) if isinstance(value, int | float) and not is_stale else None
            if drawn is None:
                status, text = (
                    STALE
                    if is_stale
                    else readings.missing.get(metric, NO_READING if value is None else NO_CAPACITY)
                )
                drawn = -1 - reasons.setdefault((status, text), len(reasons))
            columns[name].append(drawn)
    return {"devices": columns, "reasons": [": ".join(reason) for reason in reasons]}
