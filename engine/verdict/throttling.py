"""Clock throttling by power and by heat, as a bound on compute and as a state.

The limits of 10 % and 2 % are our own proposals, not yet confirmed by injection on a GPU.
"""

from __future__ import annotations

from dataclasses import dataclass

from engine.verdict.facts import Facts
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
        return (self.metric, "sm_clock_hz")


POWER = Throttle("power_throttle_share", 0.10)
HEAT = Throttle("thermal_throttle_share", 0.02)


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
        clock, reference = device.means.get("sm_clock_hz"), device.clock_reference_hz
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
            or bool(device.means.get("sm_clock_hz") and device.clock_reference_hz)
        )
        for device in facts.devices
        for throttle in (POWER, HEAT)
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
