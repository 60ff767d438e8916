"""Energy of an attempt, from counters that start when the driver is loaded."""

from __future__ import annotations

from typing import Optional

from fourwalls.system.readings import BACKWARDS, DeviceReading

LATE_S = 10.0
TOO_LATE = "the sampler was not running when the attempt started"

Bases = dict[
    str, dict[str, Optional[float]]
]  # attempt -> device -> counter at the start of the attempt; None: unknown


class Energy:
    """Keeps the base of each attempt on each device. devices.json preserves `bases` over a restart of the sampler."""

    def __init__(self, bases: Bases | None = None) -> None:
        self.bases: Bases = bases or {}
        self._last_j: dict[tuple[str, str], float] = {}

    def put(self, reading: DeviceReading, attempt: str, device: str, attempt_age_s: float) -> None:
        """Set energy_j or the reason why it is missing. A reading without a counter keeps its own reason."""
        counter_j = reading.energy_counter_j
        if counter_j is None:
            return None
        known = self.bases.setdefault(attempt, {})
        if device not in known:
            known[device] = counter_j if attempt_age_s <= LATE_S else None
        base_j = known[device]
        if base_j is None:
            return reading.set_missing("absent", TOO_LATE, "energy_j")
        if counter_j < base_j + self._last_j.get((attempt, device), 0.0):
            # Continues from the last value: only the energy between the last reading and the reset is lost.
            known[device] = counter_j - self._last_j.get((attempt, device), 0.0)
            return reading.set_missing("error", BACKWARDS, "energy_j")
        energy_j = self._last_j[attempt, device] = counter_j - base_j
        reading.metrics["energy_j"] = energy_j
        return None

    def forget_all_but(self, attempts: set[str]) -> None:
        self.bases = {name: devices for name, devices in self.bases.items() if name in attempts}
        self._last_j = {key: value for key, value in self._last_j.items() if key[0] in attempts}
