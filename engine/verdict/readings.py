"""Device readings of a run, summarised over its devices."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

import numpy as np

from engine.planner.profile import PROCESS_BYTES
from engine.verdict.facts import DeviceFacts, Facts

PSS, RESIDENT, LIMIT = "memory_pss_bytes", "memory_used_bytes", "memory_limit_bytes"


def get_mean(facts: Facts, metric: str) -> float | None:
    """Mean over the devices that report the metric; None if no device does."""
    found = [device.means[metric] for device in facts.devices if metric in device.means]
    return float(np.mean(found)) if found else None


def get_greatest(devices: Iterable[DeviceFacts], metric: str) -> float | None:
    """Greatest value of the metric; None if no device reports it."""
    return max((device.means[metric] for device in devices if metric in device.means), default=None)


def get_fullest_device(facts: Facts) -> tuple[DeviceFacts, float] | None:
    """The device with the least free memory at its peak, and the share in use then."""
    found = [
        (device, device.peak_bytes / device.capacity_bytes)
        for device in facts.devices
        if device.peak_bytes is not None and device.capacity_bytes
    ]
    return max(found, key=lambda pair: pair[1], default=None)


def get_active_share(facts: Facts) -> float | None:
    """Share of SMs with work; else the share of the time with a kernel, which a single small kernel fills too."""
    active, utilisation = get_mean(facts, "sm_active_share"), get_mean(facts, "utilisation_pct")
    return active if active is not None else None if utilisation is None else utilisation / 100


def get_payload_rate(facts: Facts) -> float | None:
    """Bytes per second that a rank passes to collectives, mean over the ranks and the step."""
    payloads = [rank.payload_bytes for rank in facts.ranks if rank.payload_bytes is not None]
    if not payloads or facts.world_size < 2 or not facts.num_steps:
        return None
    return float(np.mean(payloads)) / float(facts.step_s.mean())


class HostMemory(NamedTuple):
    """The memory of a run's processes on one host under the limit of their control group."""

    host: str
    used_bytes: float  # at least
    limit_bytes: float

    @property
    def share(self) -> float:
        return self.used_bytes / self.limit_bytes


def get_fullest_host(facts: Facts) -> HostMemory | None:
    """The host whose control group has the least memory left; None where none limits it."""
    found = []
    for host in {device.host for device in facts.devices}:
        devices = [device for device in facts.devices if device.host == host and device.kind == "cpu"]
        limits = [device.peaks[LIMIT] for device in devices if LIMIT in device.peaks]
        used = _count_memory(devices)
        if limits and used is not None:
            found.append(HostMemory(host, used, min(limits)))
    return max(found, key=lambda one: one.share, default=None)


def _count_memory(devices: list[DeviceFacts]) -> float | None:
    """With shared pages counted once; without that figure (PSS) at least the resident memory beyond what processes
    share."""
    used = [device.peaks.get(PSS, device.peaks.get(RESIDENT)) for device in devices]
    if not used or None in used:
        return None
    num_resident = sum(PSS not in device.peaks for device in devices)
    total = sum(one for one in used if one is not None)
    return max(0.0, total - max(0, num_resident - 1) * PROCESS_BYTES)
