"""Evidence rows that several rules share."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from engine.telemetry.clock import BY_NAME
from engine.verdict.facts import ClockFacts, DeviceFacts, Facts
from engine.verdict.results import Evidence

RANKS_LISTED = 8


def get_rank_evidence(facts: Facts, titles: Mapping[str, str]) -> tuple[Evidence, ...]:
    """Mean seconds of each phase of `titles`, rank by rank; ranks without the phase are left out."""
    return tuple(
        Evidence(
            f"{title}, rank {rank.rank}", float(rank.phases[phase].mean()), "s", "measured", "",
            "mean of the steady steps",
        )
        for rank in facts.ranks[:RANKS_LISTED]
        for phase, title in titles.items()
        if phase in rank.phases
    )  # fmt: skip


def get_clock_evidence(clock: ClockFacts, *parts: str) -> tuple[Evidence, ...]:
    """Seconds of these parts of the clock, of all attempts; parts that took no time are left out."""
    return tuple(
        Evidence(BY_NAME[part].title, clock.seconds[part], "s", "measured", "", "rank 0, sum of all attempts")
        for part in parts
        if clock.seconds.get(part)
    )


def get_device_evidence(
    devices: Sequence[DeviceFacts],
    title: str,
    metric: str,
    unit: str,
    threshold: str = "",
    *,
    of_peak: bool = False,
) -> tuple[Evidence, ...]:
    """A reading of each device: its mean during the steady steps, or its maximum. Devices without it are left out."""
    formula = "highest reading of the run" if of_peak else "mean of the window"
    return tuple(
        Evidence(f"{title}, {device.title}", values[metric], unit, "measured", threshold, formula)
        for device in devices[:RANKS_LISTED]
        if metric in (values := device.peaks if of_peak else device.means)
    )
