"""What holds the devices of a node: the attempts there, who they belong to, and when they end."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

from django.utils import timezone

from jobs.models import Attempt, AttemptNode, Device, Job, Lease, Node
from jobs.scheduler.deadlines import ends_by


@dataclass(frozen=True)
class Holder:
    attempt: Attempt
    devices: list[Device]  # of this node
    parts: list[AttemptNode]  # of a gang over several nodes: one a node, this one too
    is_told: bool  # False: another team's
    ends_by: datetime
    is_over: bool  # past its time limit

    @property
    def job(self) -> Job:
        return self.attempt.job

    @property
    def own_part(self) -> AttemptNode | None:
        here = self.devices[0].node_id
        return next((part for part in self.parts if part.node_id == here), None)


def on_node(node: Node, told: Callable[[int], bool]) -> list[Holder]:
    """By what ends last. A constant number of queries."""
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
    parts: defaultdict[int, list[AttemptNode]] = defaultdict(list)
    for part in AttemptNode.objects.filter(attempt__in=attempts).select_related("node"):
        parts[part.attempt_id].append(part)
    now = timezone.now()
    found = [
        Holder(one, devices[id_], parts[id_], told(one.job.team_id), ends_by(one), ends_by(one) < now)
        for id_, one in attempts.items()
    ]
    return sorted(found, key=lambda holder: holder.ends_by, reverse=True)
