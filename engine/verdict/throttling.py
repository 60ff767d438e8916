"""Clock throttling by power, heat and sync boost: bound on compute and state.

The limits of 10 % and 2 % are our own proposals, not yet confirmed by injection on a GPU. So are the temperatures,
which count only where no counter says whether a device is throttled: GPUs slow down from about 90 degrees and memory
(HBM) from 95, CPUs from 95 to 105.
"""

from __future__ import annotations

from dataclasses import dataclass

from engine.verdict.evidence import get_device_evidence
from engine.verdict.facts import DeviceFacts, Facts
from engine.verdict.formatting import format_share
from engine.verdict.readings import get_greatest
from engine.verdict.results import Evidence
from engine.verdict.rule import Claim, Observation
from engine.verdict.thresholds import NOTABLE, get_severity

CLOCK_LOST = 0.95  # share of the reference clock below which a throttled device loses time


@dataclass(frozen=True)
class Throttle:
    """A reason for lower clocks. `limit`: share of the time from which it counts."""

    metric: str
    limit: float

    @property
    def metrics(self) -> tuple[str, ...]:
        return (self.metric, CLOCK)


CLOCK = "sm_clock_hz"
POWER = Throttle("power_throttle_share", 0.10)
HEAT = Throttle("thermal_throttle_share", 0.02)
SYNC = Throttle("sync_throttle_share", 0.02)
CHIP, MEMORY = "temperature_celsius", "memory_temperature_celsius"
HOT_CHIP, HOT_MEMORY = {"cuda": 90.0, "cpu": 95.0}, 95.0


def claim_lost_clock(facts: Facts, compute_share: float, throttle: Throttle) -> Claim | None:
    """The share of the step that the full clock would save."""
    lost = get_lost_clock_share(facts, throttle)
    if lost is None or compute_share * lost < NOTABLE:
        return None
    return Claim(compute_share * lost, get_severity(compute_share * lost))


def get_lost_clock_share(facts: Facts, throttle: Throttle) -> float | None:
    """1 - clock / reference clock of the most throttled device; None if no device loses 5 % or more."""
    worst = None
    for device in facts.devices:
        clock, reference = device.means.get(CLOCK), device.clock_reference_hz
        is_throttled = device.means.get(throttle.metric, 0.0) >= throttle.limit
        if clock and reference and is_throttled and clock < CLOCK_LOST * reference:
            worst = max(worst or 0.0, 1 - clock / reference)
    return worst


def are_clocks_known(facts: Facts) -> bool:
    """Whether each device reports that it is not throttled, or its clock."""
    return all(
        throttle.metric in device.means
        and (
            device.means[throttle.metric] < throttle.limit
            or bool(device.means.get(CLOCK) and device.clock_reference_hz)
        )
        for device in facts.devices
        for throttle in (POWER, HEAT)
    )


def find_hot_part(device: DeviceFacts) -> tuple[str, float] | None:
    """What of a device was hot enough to be throttled, and its temperature."""
    chip, memory = device.peaks.get(CHIP), device.peaks.get(MEMORY)
    if chip is not None and chip >= HOT_CHIP[device.kind]:
        return "chip", chip
    return ("memory", memory) if memory is not None and memory >= HOT_MEMORY else None


def get_temperature_evidence(facts: Facts) -> tuple[Evidence, ...]:
    hot = " / ".join(
        f"{limit:.0f} (GPU)" if kind == "cuda" else f"{limit:.0f}" for kind, limit in HOT_CHIP.items()
    )
    return (
        *get_device_evidence(facts.devices, "Hottest chip", CHIP, "celsius", f">= {hot}", of_peak=True),
        *get_device_evidence(
            facts.devices, "Hottest memory", MEMORY, "celsius", f">= {HOT_MEMORY:.0f}", of_peak=True
        ),
    )


def observe_throttle(facts: Facts, throttle: Throttle) -> Observation | None:
    share = get_greatest(facts.devices, throttle.metric)
    if share is None or share < throttle.limit:
        return None
    return Observation(format_share(share), "notable")


def get_throttle_evidence(facts: Facts, throttle: Throttle) -> tuple[Evidence, ...]:
    share = get_greatest(facts.devices, throttle.metric)
    if share is None:
        return ()
    threshold = f">= {format_share(throttle.limit)}"
    return (Evidence("Time held back", share, "share", "measured", threshold, "throttle counter / wall"),)
