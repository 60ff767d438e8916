"""Assignment of devices to a job's next attempt, all or none."""

from __future__ import annotations

from collections.abc import Sequence

from django.db import IntegrityError, transaction

from jobs.lifecycle.transitions import move_job
from jobs.models import Attempt, AttemptNode, Device, Job, Lease, Node
from jobs.states.jobs import JobState


def assign(job: Job, node_id: str, devices: Sequence[str], actor: str) -> Attempt | None:
    """Create the job's next attempt, with a lease on each device in rank order; all or nothing.

    Returns None if another process has moved the job or leased a device first (decided by the partial unique index on
    active leases). If the devices are on several nodes, `node_id` is the one of rank 0, and each node gets an
    AttemptNode.
    """
    number = job.attempt_number + 1
    node_ids = dict(Device.objects.filter(id__in=devices).values_list("id", "node_id"))
    nodes = list(dict.fromkeys(node_ids[device] for device in devices if device in node_ids))
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
                preferred_node=None,
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
