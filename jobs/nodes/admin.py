"""What an admin does with nodes: keep work from them, empty them, send them away; and what time does to them."""

from __future__ import annotations

from datetime import datetime, timedelta

from django.conf import settings
from django.db import transaction
from django.db.models import Exists, OuterRef, Q
from django.db.models.functions import Now

from engine.spec.problems import Problem
from jobs.lifecycle import preemption
from jobs.lifecycle.node_transitions import move_device, move_health, move_node
from jobs.models import Attempt, Device, Lease, Node, Pool
from jobs.states.jobs import ATTEMPT_LIVE, StateError
from jobs.states.nodes import AdminState, DeviceHealth, DrainPolicy, Health

SCHEDULER = "scheduler"
REASON_LIMIT = 300


def find(name_or_id: str) -> Node:
    """Raises StateError with what there is."""
    found = list(Node.objects.filter(id=name_or_id)) or list(Node.objects.filter(name=name_or_id))
    if len(found) == 1:
        return found[0]
    if found:
        raise StateError(f"{len(found)} nodes are called '{name_or_id}'; name one by its id.")
    known = ", ".join(Node.objects.order_by("name").values_list("name", flat=True)[:20])
    raise StateError(
        f"There is no node '{name_or_id}'. " + (f"Known: {known}." if known else "None has joined.")
    )


def cordon(node: Node, actor: str, reason: str, until: datetime | None = None) -> Node:
    """No new work; what runs goes on. With `until`, it opens again by itself. A cordon ends a drain."""
    return _move(node, AdminState.CORDONED, actor, reason, until=until)


def uncordon(node: Node, actor: str, reason: str = "") -> Node:
    """New work again. Cancels a drain; what it has stopped by now resumes wherever there is room."""
    return _move(node, AdminState.OPEN, actor, reason)


def drain(node: Node, actor: str, reason: str, policy: str, until: datetime | None = None) -> Node:
    """Empty the node: by waiting, by checkpoint and requeue, or by the one until `until` and then the other."""
    if (policy == DrainPolicy.DEADLINE) != (until is not None):
        raise StateError("A drain by deadline needs a time, and no other drain has one.")
    moved = _move(node, AdminState.DRAINING, actor, reason, until=until, policy=policy)
    if policy == DrainPolicy.CHECKPOINT:
        _ask_back(moved, actor)
    return moved


def begin_maintenance(node: Node, actor: str, reason: str, until: datetime | None = None) -> Node:
    return _move(node, AdminState.MAINTENANCE, actor, reason, until=until)


def retire(node: Node, actor: str, reason: str) -> Node:
    """For good: its identity is not accepted again; the machine may join anew from an empty folder."""
    return _move(node, AdminState.RETIRED, actor, reason)


def mark(device: Device, health: str, actor: str, reason: str) -> Device:
    """Mark a device suspect or failed, which keeps new work from it, or ok again. Raises StateError when it is marked
    so already."""
    if not move_device(device.id, health, actor=actor, reason=reason.strip()[:REASON_LIMIT]):
        raise StateError(f"Device {device.index} of node {device.node.name} is {health} already.")
    return Device.objects.select_related("node").get(id=device.id)


def mark_problems(health: str, reason: str) -> list[Problem]:
    """Return what is wrong with a request to mark a device, by field."""
    if health not in DeviceHealth.values:
        known = ", ".join(DeviceHealth.values)
        return [Problem("health", f"'{health}' is not a state of a device. Known: {known}.")]
    if health != DeviceHealth.OK and not reason.strip():
        return [Problem("reason", "A reason is needed: it explains to others why the device is out of use.")]
    return []


def readmit(node: Node, actor: str, reason: str = "") -> Node:
    """A suspect node and its suspect devices take work again. Raises StateError when nothing was suspect."""
    suspect = node.devices.filter(health=DeviceHealth.SUSPECT).values_list("id", flat=True)
    moved = move_health(node.id, Health.OK, actor=actor, reason=reason, only_from=(Health.SUSPECT,))
    for device in list(suspect):
        moved |= move_device(
            device, DeviceHealth.OK, actor=actor, reason=reason, only_from=(DeviceHealth.SUSPECT,)
        )
    if not moved:
        raise StateError(f"Neither node {node.name} nor a device of it is suspect.")
    return Node.objects.get(id=node.id)


def allocation(free: int, held: int) -> str:
    """idle, mixed or full, of a node's devices."""
    return "idle" if not held else "full" if not free else "mixed"


def settle() -> None:
    """Drains that are done or past their deadline, cordons that are over."""
    held = Lease.objects.filter(device__node=OuterRef("pk"), is_active=True)
    for node in Node.objects.filter(~Exists(held), admin_state=AdminState.DRAINING):
        _try_move(node, AdminState.DRAINED, SCHEDULER, node.admin_reason)
    is_due = Q(drain_policy=DrainPolicy.CHECKPOINT) | Q(
        drain_policy=DrainPolicy.DEADLINE, admin_until__lt=Now()
    )
    for node in Node.objects.filter(is_due, admin_state=AdminState.DRAINING):
        _ask_back(node, SCHEDULER)
    lifted = Node.objects.filter(
        admin_state__in=(AdminState.CORDONED, AdminState.MAINTENANCE), admin_until__lt=Now()
    )
    for node in lifted:
        _try_move(node, AdminState.OPEN, SCHEDULER, f"The time set for it is over ({node.admin_reason}).")


def _ask_back(node: Node, actor: str) -> None:
    """All attempts with a rank on the node stop at a step border; their jobs wait again."""
    here = Attempt.objects.filter(leases__device__node=node, leases__is_active=True, state__in=ATTEMPT_LIVE)
    for attempt_id in here.filter(yield_reason="").values_list("id", flat=True).distinct():
        reason = f"Node {node.name} is being drained ({node.admin_reason})"
        preemption.ask_back(attempt_id, actor=actor, reason=reason)


def note_silence() -> None:
    """Nodes that gave no sign of life for too long."""
    _note_silence(Health.UNREACHABLE, settings.UNREACHABLE_AFTER_S, (Health.OK, Health.SUSPECT))
    _note_silence(Health.FAILED, settings.REASSIGN_AFTER_S, (Health.UNREACHABLE,))


def heard(node: Node) -> None:
    """Its agent has just given a sign of life."""
    move_health(
        node.id, Health.OK, actor=f"agent:{node.name}", reason="It answers again.",
        only_from=(Health.UNREACHABLE, Health.FAILED),
    )  # fmt: skip


def _note_silence(to: str, seconds: int, sources: tuple[str, ...]) -> None:
    silent = Node.objects.filter(
        health__in=sources, heartbeat_at__lt=Now() - timedelta(seconds=seconds)
    ).exclude(admin_state=AdminState.RETIRED)
    for node in silent:
        move_health(node.id, to, actor=SCHEDULER, reason=f"Silent for {seconds} s.", only_from=sources)


def _move(
    node: Node, to: str, actor: str, reason: str, until: datetime | None = None, policy: str = ""
) -> Node:
    """Raises StateError when the node's state, or what it runs, does not allow the move."""
    if not _try_move(node, to, actor, reason, until, policy):
        raise StateError(_why_not(Node.objects.get(id=node.id), to))
    return Node.objects.get(id=node.id)


@transaction.atomic
def _try_move(
    node: Node, to: str, actor: str, reason: str, until: datetime | None = None, policy: str = ""
) -> bool:
    Pool.objects.select_for_update(no_key=True).get(id=node.pool_id)  # no placing meanwhile
    return move_node(node.id, to, actor=actor, reason=reason, until=until, drain_policy=policy)


def _why_not(node: Node, to: str) -> str:
    running = Attempt.objects.filter(
        leases__device__node=node, leases__is_active=True, state__in=ATTEMPT_LIVE
    ).distinct()
    said = f" ({node.admin_reason})" if node.admin_reason else ""
    if node.admin_state == to:
        return f"Node {node.name} is {node.admin_state} already{said}."
    if count := running.count():
        jobs = "job runs" if count == 1 else "jobs run"
        return f"{count} {jobs} on node {node.name}; drain it first."
    return f"Node {node.name} is {node.admin_state}{said}; it cannot become {to} from there."
