"""Admin actions on nodes: cordon, drain, maintenance, retirement, device health.

Also the changes that follow with time: ends of drains and cordons, missing heartbeats.
"""

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


def get_node(name_or_id: str) -> Node:
    """Return the node with this id or name. Raises StateError, naming the known nodes, if there is not exactly one."""
    found = list(Node.objects.filter(id=name_or_id)) or list(Node.objects.filter(name=name_or_id))
    if len(found) == 1:
        return found[0]
    if found:
        raise StateError(f"{len(found)} nodes have the name '{name_or_id}'; give the id of one.")
    known = ", ".join(Node.objects.order_by("name").values_list("name", flat=True)[:20])
    raise StateError(
        f"There is no node '{name_or_id}'. " + (f"Known: {known}." if known else "No node has joined.")
    )


def cordon(node: Node, actor: str, reason: str, until: datetime | None = None) -> Node:
    """Give the node no new work; running attempts continue. It opens again at `until`. A cordon ends a drain."""
    return _move(node, AdminState.CORDONED, actor, reason, until=until)


def uncordon(node: Node, actor: str, reason: str = "") -> Node:
    """Give the node new work again. Cancels a drain; jobs that the drain has stopped resume on any free node."""
    return _move(node, AdminState.OPEN, actor, reason)


def drain(node: Node, actor: str, reason: str, policy: str, until: datetime | None = None) -> Node:
    """Empty the node. `policy`: wait for its jobs, stop them at a checkpoint, or wait until `until` and then stop them.

    Raises StateError if `until` is missing for a drain by deadline or given for another one.
    """
    if (policy == DrainPolicy.DEADLINE) != (until is not None):
        raise StateError("A drain by deadline needs a time; other drains take none.")
    moved = _move(node, AdminState.DRAINING, actor, reason, until=until, policy=policy)
    if policy == DrainPolicy.CHECKPOINT:
        _request_yields(moved, actor)
    return moved


def begin_maintenance(node: Node, actor: str, reason: str, until: datetime | None = None) -> Node:
    return _move(node, AdminState.MAINTENANCE, actor, reason, until=until)


def retire(node: Node, actor: str, reason: str) -> Node:
    """Retire the node for good. Its id is not accepted again; from an empty folder the machine joins as a new node."""
    return _move(node, AdminState.RETIRED, actor, reason)


def set_device_health(device: Device, health: str, actor: str, reason: str) -> Device:
    """Mark a device as suspect or failed (no new work; running attempts continue), or as ok again.

    Raises StateError if the device has this health already.
    """
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
    """Let a suspect node and its suspect devices take work again. Raises StateError if none of them is suspect."""
    suspect = node.devices.filter(health=DeviceHealth.SUSPECT).values_list("id", flat=True)
    moved = move_health(node.id, Health.OK, actor=actor, reason=reason, only_from=(Health.SUSPECT,))
    for device in list(suspect):
        moved |= move_device(
            device, DeviceHealth.OK, actor=actor, reason=reason, only_from=(DeviceHealth.SUSPECT,)
        )
    if not moved:
        raise StateError(f"Neither node {node.name} nor any of its devices is suspect.")
    return Node.objects.get(id=node.id)


def get_allocation(free: int, held: int) -> str:
    """Return the allocation of a node's devices: idle, mixed or full."""
    return "idle" if not held else "full" if not free else "mixed"


def reconcile() -> None:
    """Complete drains that are done, stop jobs of drains past their deadline, and lift cordons that are over."""
    held = Lease.objects.filter(device__node=OuterRef("pk"), is_active=True)
    for node in Node.objects.filter(~Exists(held), admin_state=AdminState.DRAINING):
        _try_move(node, AdminState.DRAINED, SCHEDULER, node.admin_reason)
    is_due = Q(drain_policy=DrainPolicy.CHECKPOINT) | Q(
        drain_policy=DrainPolicy.DEADLINE, admin_until__lt=Now()
    )
    for node in Node.objects.filter(is_due, admin_state=AdminState.DRAINING):
        _request_yields(node, SCHEDULER)
    lifted = Node.objects.filter(
        admin_state__in=(AdminState.CORDONED, AdminState.MAINTENANCE), admin_until__lt=Now()
    )
    for node in lifted:
        _try_move(node, AdminState.OPEN, SCHEDULER, f"The set time is over ({node.admin_reason}).")


def _request_yields(node: Node, actor: str) -> None:
    """Stop all attempts with a rank on the node at a step boundary; their jobs return to the queue."""
    here = Attempt.objects.filter(leases__device__node=node, leases__is_active=True, state__in=ATTEMPT_LIVE)
    for attempt_id in here.filter(yield_reason="").values_list("id", flat=True).distinct():
        reason = f"Node {node.name} is being drained ({node.admin_reason})"
        preemption.request_yield(attempt_id, actor=actor, reason=reason)


def mark_silent_nodes() -> None:
    """Mark nodes without a recent heartbeat as unreachable, and later as failed."""
    _mark_silent(Health.UNREACHABLE, settings.UNREACHABLE_AFTER_S, (Health.OK, Health.SUSPECT))
    _mark_silent(Health.FAILED, settings.REASSIGN_AFTER_S, (Health.UNREACHABLE,))


def record_heartbeat(node: Node) -> None:
    """Make a node that was unreachable, failed or stopped ok again, after a heartbeat of its agent."""
    move_health(
        node.id, Health.OK, actor=f"agent:{node.name}", reason="The node sends heartbeats again.",
        only_from=(Health.UNREACHABLE, Health.FAILED, Health.STOPPED),
    )  # fmt: skip


def record_stop(node: Node) -> None:
    """Mark a node whose agent ends properly as stopped, until it starts again."""
    move_health(
        node.id, Health.STOPPED, actor=f"agent:{node.name}", reason="The agent of this node was stopped."
    )


def _mark_silent(to: str, seconds: int, sources: tuple[str, ...]) -> None:
    silent = Node.objects.filter(
        health__in=sources, heartbeat_at__lt=Now() - timedelta(seconds=seconds)
    ).exclude(admin_state=AdminState.RETIRED)
    for node in silent:
        move_health(node.id, to, actor=SCHEDULER, reason=f"No heartbeat for {seconds} s.", only_from=sources)


def _move(
    node: Node, to: str, actor: str, reason: str, until: datetime | None = None, policy: str = ""
) -> Node:
    """Move the node. Raises StateError if its state or its running jobs do not allow the move."""
    if not _try_move(node, to, actor, reason, until, policy):
        raise StateError(_refusal(Node.objects.get(id=node.id), to))
    return Node.objects.get(id=node.id)


@transaction.atomic
def _try_move(
    node: Node, to: str, actor: str, reason: str, until: datetime | None = None, policy: str = ""
) -> bool:
    Pool.objects.select_for_update(no_key=True).get(
        id=node.pool_id
    )  # no job is placed while the row is locked
    return move_node(node.id, to, actor=actor, reason=reason, until=until, drain_policy=policy)


def _refusal(node: Node, to: str) -> str:
    running = Attempt.objects.filter(
        leases__device__node=node, leases__is_active=True, state__in=ATTEMPT_LIVE
    ).distinct()
    why = f" ({node.admin_reason})" if node.admin_reason else ""
    if node.admin_state == to:
        return f"Node {node.name} is {node.admin_state} already{why}."
    if count := running.count():
        jobs = "job runs" if count == 1 else "jobs run"
        return f"{count} {jobs} on node {node.name}; drain it first."
    return f"Node {node.name} is {node.admin_state}{why}; it cannot become {to} from this state."
