"""Evidence rows that several rules share."""

from __future__ import annotations

from collections.abc import Mapping

from engine.verdict.facts import Facts
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
