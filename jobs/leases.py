"""Devices for a gang: which are free, and an attempt that takes all it needs or none."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta

from django.conf import settings
from django.db import IntegrityError, transaction
from django.db.models.expressions import CombinedExpression
from django.db.models.functions import Now

from jobs.models import Attempt, Device, Job, Lease, Node, Pool
from jobs.states import JobState, move_job


@dataclass
class FreeNode:
    """A node that may get work, as one look at the database found it."""

    id: str
    name: str
    devices: tuple[str, ...]  # present ones, by index
    free: list[str]
    holders: dict[str, int]  # job -> devices it holds


def alive_since() -> CombinedExpression:
    """Heartbeats younger than this count, by the database's clock: the nodes' own clocks may differ."""
    return Now() - timedelta(seconds=settings.UNREACHABLE_AFTER_S)


def nodes_of(pool: Pool) -> list[FreeNode]:
    """The live, not cordoned nodes of a pool with what is free on each. Two queries, however many nodes."""
    nodes = {
        node.id: FreeNode(node.id, node.name, (), [], {})
        for node in Node.objects.filter(
            pool=pool, is_cordoned=False, heartbeat_at__gt=alive_since()
        ).order_by("name", "id")
    }
    holders = dict(
        Lease.objects.filter(is_active=True, device__node__pool=pool).values_list(
            "device_id", "attempt__job_id"
        )
    )
    devices = Device.objects.filter(node__in=nodes, is_present=True).order_by("node", "index")
    for device_id, node_id in devices.values_list("id", "node_id"):
        node = nodes[node_id]
        node.devices += (device_id,)
        holder = holders.get(device_id)
        if holder is None:
            node.free.append(device_id)
        else:
            node.holders[holder] = node.holders.get(holder, 0) + 1
    return [node for node in nodes.values() if node.devices]


def assign(job: Job, node_id: str, devices: Sequence[str], actor: str) -> Attempt | None:
    """The job's next attempt with a lease on each device, in rank order; all or nothing. None: somebody else was
    first, to the job or to a device (the partial unique index on active leases decides)."""
    number = job.attempt_number + 1
    try:
        with transaction.atomic():
            node_name = Node.objects.values_list("name", flat=True).get(id=node_id)
            if not move_job(
                job.id,
                JobState.SCHEDULED,
                actor=actor,
                reason=f"Attempt {number} on {node_name}.",
                attempt=job.attempt_number,
                attempt_number=number,
                waiting_reason="",
            ):
                return None
            attempt = Attempt.objects.create(job=job, number=number, node_id=node_id)
            Lease.objects.bulk_create(
                Lease(attempt=attempt, device_id=device, rank=rank) for rank, device in enumerate(devices)
            )
            return attempt
    except (IntegrityError, Node.DoesNotExist):
        return None
