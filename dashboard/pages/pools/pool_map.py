"""The map of all pools, column by column: every device with its holder, readings and health, small enough to be read
again every few seconds.

With 8,000 devices model objects would take seconds; here each row is a tuple, and of the readings only the four that
are drawn are decoded.
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
from jobs.states.nodes import AdminState, Health

NO_READING = ("absent", "The node has sent no reading yet.")
STALE = ("stale", "The last reading is too old.")


class Metrics(msgspec.Struct):
    """Of a device's newest readings, the four limits."""

    utilisation_pct: Any = None
    memory_used_bytes: Any = None
    memory_bandwidth_share: Any = None
    power_w: Any = None


class Latest(msgspec.Struct):
    metrics: Metrics = msgspec.field(default_factory=Metrics)
    missing: dict[str, tuple[str, str]] = {}


# key of the column -> metric, and what makes a drawn number of its value and the device's memory
LIMITS: dict[str, tuple[str, Callable[[float, int | None], float | None]]] = {
    "compute": ("utilisation_pct", lambda value, memory: round(value)),
    "memory": ("memory_used_bytes", lambda value, memory: round(100 * value / memory) if memory else None),
    "bandwidth": ("memory_bandwidth_share", lambda value, memory: round(100 * value)),
    "power": ("power_w", lambda value, memory: round(value)),
}
NO_CAPACITY = ("absent", "The device does not say how much memory it has.")
decode = msgspec.json.Decoder(Latest).decode


def of(told: Callable[[int], bool]) -> dict[str, Any]:
    """Six queries, whatever there is. Numbers are percent (compute, memory, bandwidth) and watts; one that is absent
    is the negative index, less one, of its reason in `reasons`."""
    pools = list(Pool.objects.order_by("name").values_list("id", "name"))
    nodes = _nodes({pool: index for index, (pool, _) in enumerate(pools)})
    holders, holder_of = _holders(told)
    return {
        "pools": [name for _, name in pools],
        "nodes": nodes,
        "holders": holders,
        **_devices({node: index for index, node in enumerate(nodes["id"])}, holder_of),
    }


def _nodes(pool_index: dict[int, int]) -> dict[str, list[Any]]:
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
    """What keeps work from it, in one word; 'open' where nothing does."""
    if is_silent and health in (Health.OK, Health.SUSPECT):
        return str(Health.UNREACHABLE)
    return str(admin_state) if health == Health.OK else str(health)


def _holders(told: Callable[[int], bool]) -> tuple[list[list[str] | None], dict[str, int]]:
    """Each attempt that holds something (job, owner, team, run; None for another team's), and device -> its index."""
    index: dict[int, int] = {}
    holders: list[list[str] | None] = []
    columns = ("id", "job__team_id", "job__name", "job__owner__username", "job__team__name", "job__run__id")
    for attempt, team, *names in (
        Attempt.objects.filter(state__in=ATTEMPT_LIVE).order_by().values_list(*columns)
    ):
        index[attempt] = len(holders)
        holders.append(names if told(team) else None)
    leases = Lease.objects.filter(is_active=True).order_by().values_list("device_id", "attempt_id")
    return holders, {device: index[attempt] for device, attempt in leases if attempt in index}


def _devices(node_index: dict[str, int], holder_of: dict[str, int]) -> dict[str, Any]:
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
        columns["holder"].append(holder_of.get(device, -1))
        readings = decode(latest)
        is_stale = at is not None and at < fresh_after
        for name, (metric, drawn) in LIMITS.items():
            value = getattr(readings.metrics, metric)
            number_drawn = drawn(value, memory) if isinstance(value, int | float) and not is_stale else None
            if number_drawn is None:
                why = (
                    STALE
                    if is_stale
                    else readings.missing.get(metric, NO_READING if value is None else NO_CAPACITY)
                )
                number_drawn = -1 - reasons.setdefault(tuple(why), len(reasons))
            columns[name].append(number_drawn)
    return {"devices": columns, "reasons": [": ".join(why) for why in reasons]}
