"""Device readings of a run, summarised over its devices."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from engine.verdict.facts import DeviceFacts, Facts


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
