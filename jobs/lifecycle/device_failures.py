"""Attribution of failed attempts to devices, which may become suspect."""

from __future__ import annotations

from datetime import timedelta
from itertools import takewhile

from django.utils import timezone

from engine.hardware.device_failures import find_failed_rank, find_held_device
from jobs.lifecycle.node_transitions import move_device
from jobs.models import Attempt, Lease
from jobs.states.nodes import DeviceHealth

CONSECUTIVE_FAULTS = 2
LEASE_HISTORY = 100
RELEASE_LIMIT_S = 60.0  # how long the processes of an ended attempt may still hold a device


def record_failure(attempt: Attempt, reason: str, actor: str) -> list[str]:
    """Mark the lease of the device that `reason` names as faulty. Returns the device if it becomes suspect.

    A device becomes suspect after CONSECUTIVE_FAULTS failed attempts in a row, or when processes of an earlier attempt
    have held it for RELEASE_LIMIT_S.
    """
    lease = _find_lease(attempt, reason)
    if lease is None:
        return []
    Lease.objects.filter(id=lease.id).update(is_faulty=True)
    newest = Lease.objects.filter(device=lease.device_id).order_by("-id")[:LEASE_HISTORY]
    in_a_row = list(takewhile(lambda row: row.is_faulty, newest))
    if find_held_device(reason):
        # The processes that hold it may be stopping: they count as unkillable only after RELEASE_LIMIT_S.
        if timezone.now() - in_a_row[-1].began_at < timedelta(seconds=RELEASE_LIMIT_S):
            return []
        message = f"unkillable: {reason}"
    elif len(in_a_row) < CONSECUTIVE_FAULTS:
        return []
    else:
        message = f"{CONSECUTIVE_FAULTS} attempts in a row failed on it, the last with: {reason}"
    moved = mark_suspect(lease.device_id, actor, message)
    return [lease.device_id] if moved else []


def _find_lease(attempt: Attempt, reason: str) -> Lease | None:
    held, rank = find_held_device(reason), find_failed_rank(reason)
    if held:
        return attempt.leases.filter(device=held).first()
    if rank is not None:
        return attempt.leases.filter(rank=rank).first()
    return None


def mark_suspect(device_id: str, actor: str, reason: str) -> bool:
    """Make an ok device suspect. False: it was not ok; a device that a person marked as failed stays failed."""
    ok = (DeviceHealth.OK,)
    return move_device(device_id, DeviceHealth.SUSPECT, actor=actor, reason=reason, only_from=ok)
