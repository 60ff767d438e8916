"""Time that a pressure takes from the ranks: quota, memory, disk, other processes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from engine.verdict.facts import DeviceFacts, Facts, Floats, RankFacts

QUOTA, MEMORY, DISK, CORES = (
    "cpu_throttle_share", "memory_pressure_share", "io_pressure_share", "cpu_pressure_share",
)  # fmt: skip
CORES_USED, UTILISATION = "cores_used", "utilisation_pct"
PRESSURES = (
    QUOTA,
    MEMORY,
    DISK,
    CORES,
)  # in the order in which they take time; the quota's is counted exactly
METRICS = (*PRESSURES, CORES_USED, UTILISATION)
CONTENDED = 0.20  # PSI cpu "some" from which other work competes for the cores
MOST = 0.95  # of a rank's local time
LEAST = 0.02  # smaller pressures are noise


@dataclass(frozen=True)
class StolenTime:
    """Share of each rank's local time by pressure, [rank] each; what one pressure takes no other takes again."""

    by_pressure: Mapping[str, Floats]

    def kept(self, pressures: Sequence[str]) -> Floats:
        """Share of the local time that remains without these pressures, [rank]."""
        return 1 - np.minimum(MOST, np.sum([self.by_pressure[name] for name in pressures], axis=0))


def find_stolen_time(facts: Facts, ranks: Sequence[RankFacts], local: Floats) -> StolenTime:
    """`local`: time of each rank outside data waits and collectives, [rank, step]."""
    step_s = float(facts.step_s.mean())
    shares = np.zeros((len(PRESSURES), len(ranks)))
    devices = {device.device: device for device in facts.devices}
    for n, rank in enumerate(ranks):
        device = devices.get(rank.device)
        if device is not None and step_s > 0 and local[n].mean() > 0:
            own = float(local[n].mean()) / step_s  # share of the step in which it has local work
            waiting = (
                float(rank.phases["data_wait_s"].mean()) / step_s if "data_wait_s" in rank.phases else 0.0
            )
            shares[:, n] = _share_out(device.means, own, waiting) / own
    return StolenTime(dict(zip(PRESSURES, shares, strict=True)))


def get_missing_cores_share(device: DeviceFacts, own: float) -> float | None:
    """Share of the step in which a rank with local work used no core; None if it is not known.

    A rank alone on one core uses it all the time. With more threads, nothing says how many of them have work.
    """
    used, utilisation = device.means.get(CORES_USED), device.means.get(UTILISATION)
    if device.kind != "cpu" or used is None:
        return None
    allotted = used / (utilisation / 100) if utilisation else 1.0
    return max(0.0, own - used) if allotted < 1.5 else None


def _share_out(means: Mapping[str, float], own: float, data_wait: float) -> Floats:
    """Shares of the step by pressure. Pressures of the whole host count up to what the rank itself is missing."""
    throttled = min(MOST * own, means.get(QUOTA, 0.0))
    missing = get_missing_cores_share(DeviceFacts("", "cpu", means), own)
    room = max(0.0, (MOST * own if missing is None else min(MOST * own, missing)) - throttled)
    memory = min(room, means.get(MEMORY, 0.0))
    # Swapping waits for the disk too, and a wait for data that a disk causes is in a phase of its own.
    disk = min(room - memory, max(0.0, means.get(DISK, 0.0) - memory - data_wait))
    pressure = means.get(CORES, 0.0)
    cores = 0.0
    if missing is not None and pressure > CONTENDED:
        cores = min(room - memory - disk, pressure)
    found = np.array([throttled, memory, disk, cores])
    return np.where(found >= LEAST, found, 0.0)
