"""Devices for a gang: which are free, and an attempt that takes all it needs or none."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta

from django.conf import settings
from django.db import IntegrityError, transaction
from django.db.models.expressions import CombinedExpression
from django.db.models.functions import Now

from jobs.models import Attempt, AttemptNode, Device, Job, Lease, Node, Pool
from jobs.node_states import DeviceHealth, Health
from jobs.states import JobState, move_job


@dataclass
class FreeNode:
    """A node that may get work, as one look at the database found it."""

    id: str
    name: str
    devices: tuple[str, ...]  # present ones, by index
    free: list[str]
    holders: dict[str, int]  # job -> devices it holds
    kind: str = ""  # of its devices
    checkpoint_root: str = (
        ""  # the folder it shares with other nodes; '': none, so it joins no gang over nodes
    )


def alive_since() -> CombinedExpression:
    """Heartbeats younger than this count, by the database's clock: the nodes' own clocks may differ."""
    return Now() - timedelta(seconds=settings.UNREACHABLE_AFTER_S)


def nodes_of(pool: Pool) -> list[FreeNode]:
    """The live, not cordoned nodes of a pool with what is free on each. Two queries, however many nodes."""
    nodes = {
        node.id: FreeNode(
            node.id, node.name, (), [], {}, checkpoint_root=str(node.facts.get("checkpoint_root") or "")
        )
        for node in Node.objects.filter(
            pool=pool,
            is_cordoned=False,
            heartbeat_at__gt=alive_since(),
        )
        .exclude(health=Health.SUSPECT)
        .order_by("name", "id")
    }
    holders = dict(
        Lease.objects.filter(is_active=True, device__node__pool=pool).values_list(
            "device_id", "attempt__job_id"
        )
    )
    devices = Device.objects.filter(node__in=nodes, is_present=True, health=DeviceHealth.OK)
    devices = devices.order_by("node", "index")
    for device_id, node_id, kind in devices.values_list("id", "node_id", "kind"):
        node = nodes[node_id]
        node.kind = kind
        node.devices += (device_id,)
        holder = holders.get(device_id)
        if holder is None:
            node.free.append(device_id)
        else:
            node.holders[holder] = node.holders.get(holder, 0) + 1
    return [node for node in nodes.values() if node.devices]


def alike(nodes: Sequence[FreeNode]) -> list[list[FreeNode]]:
    """The sets of nodes within which one gang may spread: one kind of device, one shared checkpoint folder."""
    groups: dict[tuple[str, str], list[FreeNode]] = {}
    for node in nodes:
        if node.checkpoint_root:
            groups.setdefault((node.kind, node.checkpoint_root), []).append(node)
    return list(groups.values())


def spread(nodes: Sequence[FreeNode], count: int) -> list[tuple[FreeNode, list[str]]] | None:
    """Free devices for a gang that no node holds alone, on as few nodes as will do, in rank order; None: too few."""
    chosen: list[tuple[FreeNode, list[str]]] = []
    for group in alike(nodes):
        if sum(len(node.free) for node in group) < count:
            continue
        missing = count
        for node in sorted(group, key=lambda n: (-len(n.free), n.name)):
            devices = node.free[:missing]
            chosen.append((node, devices))
            missing -= len(devices)
            if not missing:
                return chosen
    return None


def assign(job: Job, node_id: str, devices: Sequence[str], actor: str) -> Attempt | None:
    """The job's next attempt with a lease on each device, in rank order; all or nothing. None: somebody else was
    first, to the job or to a device (the partial unique index on active leases decides). Where the devices sit on
    several nodes, `node_id` is the one of rank 0, and each node has its part."""
    number = job.attempt_number + 1
    homes = dict(Device.objects.filter(id__in=devices).values_list("id", "node_id"))
    nodes = list(dict.fromkeys(homes[device] for device in devices if device in homes))
    try:
        with transaction.atomic():
            names = ", ".join(
                Node.objects.filter(id__in=nodes).order_by("name").values_list("name", flat=True)
            )
            if not move_job(
                job.id,
                JobState.SCHEDULED,
                actor=actor,
                reason=f"Attempt {number} on {names}.",
                attempt=job.attempt_number,
                attempt_number=number,
                waiting_reason="",
            ):
                return None
            attempt = Attempt.objects.create(job=job, number=number, node_id=node_id, num_nodes=len(nodes))
            if len(nodes) > 1:
                AttemptNode.objects.bulk_create(AttemptNode(attempt=attempt, node_id=node) for node in nodes)
            Lease.objects.bulk_create(
                Lease(attempt=attempt, device_id=device, rank=rank) for rank, device in enumerate(devices)
            )
            return attempt
    except IntegrityError:
        return None
