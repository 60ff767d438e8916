"""Pools: nodes, devices, newest readings, holding jobs."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Any

from django.db.models import Count, Prefetch, Q
from django.http import HttpRequest
from django.utils import timezone
from ninja import Router

from dashboard.access import get_scope
from dashboard.api.shapes import Pools
from engine.spec.spec import Problem, SpecError
from jobs.models import Device, Node, Pool
from jobs.nodes.heartbeat import current_health, is_fresh
from jobs.nodes.occupants import get_lease, nodes_with_devices
from jobs.pools import pool_settings, setting_types
from jobs.states.jobs import JobState

router = Router(tags=["pools"])


@router.get("/pools", response=Pools)
def listing(request: HttpRequest, requires: str = "") -> dict[str, Any]:
    """Every pool, or those with all labels in `requires` (gpu=h200, site=north). The job that holds a device is named
    only to callers who may see it."""
    wanted = _labels(requires)
    now, can_see = timezone.now(), get_scope(request).can_see_details
    waiting = Count("jobs", filter=Q(jobs__state=JobState.QUEUED))
    found = (
        Pool.objects.order_by("name")
        .annotate(num_waiting=waiting)
        .prefetch_related(Prefetch("nodes", nodes_with_devices()), "allowed_teams")
    )
    return {
        "pools": [
            {
                **_settings(pool),
                "num_waiting": pool.num_waiting,
                "nodes": [node_out(node, can_see, now) for node in pool.nodes.all()],
            }
            for pool in found
            if wanted.items() <= pool.labels.items()
        ]
    }


def _labels(text: str) -> dict[str, str]:
    try:
        return setting_types.parse_labels(text)
    except ValueError as error:
        raise SpecError([Problem("requires", str(error))]) from None


def _settings(pool: Pool) -> dict[str, Any]:
    columns = ("name", "is_open", "labels", "max_time_limit_s", "max_gang", "price_per_device_hour",
               "tariff_per_kwh", "currency")  # fmt: skip
    return {
        **{name: getattr(pool, name) for name in columns},
        "allowed_teams": [team.slug for team in pool.allowed_teams.all()],
        "default_time_limit_s": pool_settings.time_limit_s(pool),
    }


def node_out(node: Node, can_see: Callable[[int], bool], now: datetime) -> dict[str, Any]:
    return {
        "id": node.id,
        "name": node.name,
        "is_cordoned": node.is_cordoned,
        "is_reachable": is_fresh(node.heartbeat_at, now),
        "is_simulated": node.is_simulated,
        "admin_state": node.admin_state,
        "admin_reason": node.admin_reason,
        "admin_until": node.admin_until,
        "drain_policy": node.drain_policy,
        "health": current_health(node, now),
        "health_reason": node.health_reason,
        "heartbeat_at": node.heartbeat_at,
        "facts": node.facts,
        "host": node.host,
        "devices": [_device(device, can_see, now) for device in node.devices.all()],
    }


def _device(device: Device, can_see: Callable[[int], bool], now: datetime) -> dict[str, Any]:
    lease = get_lease(device)
    job = lease.attempt.job if lease else None
    return {
        "id": device.id,
        "index": device.index,
        "kind": device.kind,
        "name": device.name,
        "cores": device.cores,
        "memory_bytes": device.memory_bytes,
        "health": device.health,
        "health_reason": device.health_reason,
        "is_held": job is not None,
        "job": job.id if job and can_see(job.team_id) else None,
        "metrics": device.latest.get("metrics", {}),
        "missing": device.latest.get("missing", {}),
        "latest_at": device.latest_at,
        "is_stale": not is_fresh(device.latest_at, now),
    }
