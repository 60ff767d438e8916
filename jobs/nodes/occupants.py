"""Devices with their leases, and the attempts that occupy a node."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

from django.db.models import Prefetch, QuerySet
from django.utils import timezone

from jobs.lifecycle.deadlines import ends_by
from jobs.models import Attempt, AttemptNode, Device, Job, Lease, Node
from jobs.states.jobs import ATTEMPT_LIVE


@dataclass(frozen=True)
class NodeOccupant:
    """A live attempt that holds devices of a node."""

    attempt: Attempt
    devices: list[Device]  # of this node
    attempt_nodes: list[AttemptNode]  # of a gang over several nodes: one per node, this one included
    can_see_details: bool  # False: another team's job
    ends_by: datetime
    is_over: bool  # past its time limit

    @property
    def job(self) -> Job:
        return self.attempt.job


def get_occupants(node: Node, can_see: Callable[[int], bool]) -> list[NodeOccupant]:
    """Return the attempts on a node, the latest end first. Two queries for any number of them."""
    leases = (
        Lease.objects.filter(is_active=True, device__node=node)
        .select_related("device", "attempt__job__run", "attempt__job__owner", "attempt__job__team")
        .order_by("device__index")
    )
    attempts: dict[int, Attempt] = {}
    devices: defaultdict[int, list[Device]] = defaultdict(list)
    for lease in leases:
        attempts[lease.attempt_id] = lease.attempt
        devices[lease.attempt_id].append(lease.device)
    attempt_nodes: defaultdict[int, list[AttemptNode]] = defaultdict(list)
    for one in AttemptNode.objects.filter(attempt__in=attempts).select_related("node"):
        attempt_nodes[one.attempt_id].append(one)
    now = timezone.now()
    found = [
        NodeOccupant(
            attempt=attempt,
            devices=devices[id_],
            attempt_nodes=attempt_nodes[id_],
            can_see_details=can_see(attempt.job.team_id),
            ends_by=ends_by(attempt),
            is_over=ends_by(attempt) < now,
        )
        for id_, attempt in attempts.items()
    ]
    return sorted(found, key=lambda occupant: occupant.ends_by, reverse=True)


def get_ended_attempts(node: Node, limit: int) -> list[Attempt]:
    """Return the newest ended attempts whose rank 0 ran on the node."""
    rows = (
        Attempt.objects.filter(node=node).exclude(state__in=ATTEMPT_LIVE).order_by("-ended_at")
        .select_related("job__run", "job__owner").defer("job__spec", "job__plan", "job__run__spec", "job__run__plan")
    )  # fmt: skip
    return list(rows[:limit])


def devices_with_leases() -> QuerySet[Device]:
    """Present devices, each with its active lease in `held_by`. Two queries."""
    leases = Lease.objects.filter(is_active=True).select_related("attempt__job__run", "attempt__job__owner")
    return Device.objects.filter(is_present=True).prefetch_related(
        Prefetch("leases", leases, to_attr="held_by")
    )


def nodes_with_devices() -> QuerySet[Node]:
    """Nodes by name with their present devices and leases. Three queries."""
    return Node.objects.order_by("name").prefetch_related(Prefetch("devices", devices_with_leases()))


def get_lease(device: Device) -> Lease | None:
    """Return the active lease of a device that `devices_with_leases` has read."""
    held_by: list[Lease] = device.held_by  # type: ignore[attr-defined]
    return held_by[0] if held_by else None
