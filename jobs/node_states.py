"""States of nodes and devices, the moves that are allowed, and one function for each kind.

A node stands on two axes: what an admin wants of it, and how it is. What it holds is derived from its leases.
"""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime
from typing import Any

from django.db import transaction
from django.db.models import TextChoices


class AdminState(TextChoices):
    OPEN = "open"
    CORDONED = "cordoned"  # no new work; what runs goes on
    DRAINING = "draining"  # no new work, and what runs shall end
    DRAINED = "drained"  # nothing runs any more
    MAINTENANCE = "maintenance"  # somebody works on it
    RETIRED = "retired"  # gone for good; its rows tell the story of old attempts


class Health(TextChoices):
    OK = "ok"
    SUSPECT = "suspect"  # something went wrong here more than once: no new work for a while (jobs.suspicion)
    UNREACHABLE = "unreachable"  # silent: no new work, what it runs is left alone
    FAILED = "failed"  # silent for so long that its work was given to others


class DrainPolicy(TextChoices):
    FINISH = "finish"  # jobs end by themselves
    CHECKPOINT = "checkpoint"  # jobs stop at a step border, wait again and resume elsewhere
    DEADLINE = "deadline"  # finish until the deadline, then checkpoint


class DeviceHealth(TextChoices):
    OK = "ok"
    SUSPECT = "suspect"  # no new work until a person readmits it
    FAILED = "failed"  # a person has found it broken; no program changes that


# From where each state may be entered.
ADMIN_MOVES: dict[str, tuple[str, ...]] = {
    AdminState.OPEN: (
        AdminState.CORDONED,
        AdminState.DRAINING,
        AdminState.DRAINED,
        AdminState.MAINTENANCE,
    ),
    AdminState.CORDONED: (AdminState.OPEN, AdminState.DRAINING, AdminState.DRAINED, AdminState.MAINTENANCE),
    AdminState.DRAINING: (AdminState.OPEN, AdminState.CORDONED),
    AdminState.DRAINED: (AdminState.DRAINING,),
    AdminState.MAINTENANCE: (AdminState.OPEN, AdminState.CORDONED, AdminState.DRAINED),
    AdminState.RETIRED: (
        AdminState.OPEN,
        AdminState.CORDONED,
        AdminState.DRAINED,
        AdminState.MAINTENANCE,
    ),
}
# These may be entered only while no attempt holds a device of the node.
NEEDS_NO_LEASE = (AdminState.DRAINED, AdminState.MAINTENANCE, AdminState.RETIRED)

HEALTH_MOVES: dict[str, tuple[str, ...]] = {
    Health.OK: (Health.SUSPECT, Health.UNREACHABLE, Health.FAILED),
    Health.SUSPECT: (Health.OK, Health.UNREACHABLE),
    Health.UNREACHABLE: (Health.OK, Health.SUSPECT),
    Health.FAILED: (Health.UNREACHABLE,),
}

DEVICE_MOVES: dict[str, tuple[str, ...]] = {
    DeviceHealth.OK: (DeviceHealth.SUSPECT, DeviceHealth.FAILED),
    DeviceHealth.SUSPECT: (DeviceHealth.OK, DeviceHealth.FAILED),
    DeviceHealth.FAILED: (DeviceHealth.OK, DeviceHealth.SUSPECT),
}


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
    """One conditional UPDATE of the admin state and its event in one transaction. False: not from the state it is
    in, or it holds leases where `to` allows none. Whoever calls this holds the pool's row locked, as a scheduler
    does while it places jobs: no lease appears between the look and the move."""
    from jobs.models import Lease, Node, NodeEvent

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
    """As move_node, on the axis of health."""
    from jobs.models import Node, NodeEvent

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
    """As move_node, for one device. What runs on it goes on."""
    from jobs.models import Device, NodeEvent

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
