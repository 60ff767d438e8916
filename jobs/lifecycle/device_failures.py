"""Devices that become suspect because attempts failed on them."""

from __future__ import annotations

import re
from datetime import timedelta
from itertools import takewhile

from django.utils import timezone

from jobs.lifecycle.node_transitions import move_device
from jobs.models import Attempt, Lease
from jobs.states.nodes import DeviceHealth

CONSECUTIVE_FAULTS = 2
LEASE_HISTORY = 100
RELEASE_LIMIT_S = 60.0  # how long after an attempt's end its processes may still hold a device
# What a rank says when it is the device that failed. Running out of memory is the job's own doing.
_HELD = re.compile(r"device (\S+) is still held")
_FAULT = re.compile(
    r"CUDA error|cudaError|uncorrectable|\bECC\b|\bXid\b|fallen off the bus|GPU is lost|unhandled cuda error"
    r"|unspecified launch failure|hardware error",
    re.IGNORECASE,
)
_RANK = re.compile(r"\brank (\d+)\b")


def record_failure(attempt: Attempt, reason: str, actor: str) -> list[str]:
    """Note on the lease of the device that a failure points at; one that has failed twice in a row, or has been held
    by an earlier attempt for a minute, becomes suspect. Returns the devices that are suspect now."""
    lease = _find_lease(attempt, reason)
    if lease is None:
        return []
    Lease.objects.filter(id=lease.id).update(is_faulty=True)
    newest = Lease.objects.filter(device=lease.device_id).order_by("-id")[:LEASE_HISTORY]
    in_a_row = list(takewhile(lambda row: row.is_faulty, newest))
    if _HELD.search(reason):
        # Its holder may be on the point of being stopped: a minute is given before it counts as unkillable.
        if timezone.now() - in_a_row[-1].began_at < timedelta(seconds=RELEASE_LIMIT_S):
            return []
        said = f"unkillable: {reason}"
    elif len(in_a_row) < CONSECUTIVE_FAULTS:
        return []
    else:
        said = f"{CONSECUTIVE_FAULTS} attempts in a row failed on it, the last with: {reason}"
    moved = mark_suspect(lease.device_id, actor, said)
    return [lease.device_id] if moved else []


def _find_lease(attempt: Attempt, reason: str) -> Lease | None:
    held, rank = _HELD.search(reason), _RANK.search(reason)
    if held:
        return attempt.leases.filter(device=held[1]).first()
    if rank and _FAULT.search(reason):
        return attempt.leases.filter(rank=int(rank[1])).first()
    return None


def mark_suspect(device_id: str, actor: str, reason: str) -> bool:
    """A device that a person has called failed stays that."""
    ok = (DeviceHealth.OK,)
    return move_device(device_id, DeviceHealth.SUSPECT, actor=actor, reason=reason, only_from=ok)
