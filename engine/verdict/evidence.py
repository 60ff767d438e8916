"""Evidence rows that several rules share."""

from __future__ import annotations

from collections.abc import Mapping

from engine.telemetry.clock import BY_NAME
from engine.verdict.facts import ClockFacts, Facts
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
