"""State changes of nodes and devices."""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime
from typing import Any

from django.db import transaction

from jobs.models import Device, Lease, Node, NodeEvent
from jobs.states.nodes import ADMIN_MOVES, DEVICE_MOVES, HEALTH_MOVES, NEEDS_NO_LEASE, DeviceHealth, Health


def move_node(
    node_id: str,
    to: str,
    *,
    actor: str,
    reason: str,
    until: datetime | None = None,
    only_from: Collection[str] | None = None,
    **fields: Any,
) -> bool:
    """Move the admin state by one conditional UPDATE, and record the event in the same transaction.

    Returns False if the current state does not allow the move, or if the node holds leases and `to` allows none.
    The caller must hold the lock on the pool's row, as a scheduler does while it places jobs, so that no lease appears
    between the check and the move.
    """

    with transaction.atomic():
        allowed = [s for s in ADMIN_MOVES[to] if only_from is None or s in only_from]
        if to in NEEDS_NO_LEASE and Lease.objects.filter(device__node_id=node_id, is_active=True).exists():
            return False
        fields = {"drain_policy": "", "admin_reason": reason[:300], "admin_until": until} | fields
        if not Node.objects.filter(id=node_id, admin_state__in=allowed).update(admin_state=to, **fields):
            return False
        NodeEvent.objects.create(node_id=node_id, actor=actor, kind=f"node.{to}", text=reason, until=until)
    return True


def move_health(
    node_id: str, to: str, *, actor: str, reason: str, only_from: Collection[str] | None = None
) -> bool:
    """Move the health of a node, as move_node moves its admin state."""

    with transaction.atomic():
        allowed = [s for s in HEALTH_MOVES[to] if only_from is None or s in only_from]
        rows = Node.objects.filter(id=node_id, health__in=allowed)
        if not rows.update(health=to, health_reason="" if to == Health.OK else reason[:300]):
            return False
        NodeEvent.objects.create(node_id=node_id, actor=actor, kind=f"health.{to}", text=reason)
    return True


def move_device(
    device_id: str, to: str, *, actor: str, reason: str, only_from: Collection[str] | None = None
) -> bool:
    """Move the health of one device, as move_node moves a node. Attempts that run on it continue."""

    with transaction.atomic():
        allowed = [s for s in DEVICE_MOVES[to] if only_from is None or s in only_from]
        rows = Device.objects.filter(id=device_id, health__in=allowed)
        if not rows.update(health=to, health_reason="" if to == DeviceHealth.OK else reason[:300]):
            return False
        node_id = Device.objects.values_list("node_id", flat=True).get(id=device_id)
        NodeEvent.objects.create(
            node_id=node_id, device_id=device_id, actor=actor, kind=f"device.{to}", text=reason
        )
    return True
