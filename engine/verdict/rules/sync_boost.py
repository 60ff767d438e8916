"""Sync boost: clocks held back by those of a slower GPU."""

from __future__ import annotations

from engine.verdict import counters, remedies
from engine.verdict.facts import Facts
from engine.verdict.formatting import format_share
from engine.verdict.rule import Claim, ComputeBoundRule
from engine.verdict.throttling import CLOCK, SYNC, claim_lost_clock


def _detect(facts: Facts, compute_share: float) -> Claim | None:
    return claim_lost_clock(facts, compute_share, SYNC)


RULE = ComputeBoundRule(
    id="sync_boost",
    limit="power",
    title="Sync boost",
    sentence=(
        "Clocks are held back by those of a slower GPU (sync boost); at full clock {share} of each step would be saved."
    ),
    formula=(
        "compute share x (1 - clock / reference clock), "
        f"where held back by it >= {format_share(SYNC.limit)} of the time"
    ),
    detect=_detect,
    get_evidence=counters.get_counter_evidence,
    remedies=(remedies.LEAVE_SYNC_BOOST,),
    device_metrics=(*counters.METRICS, *SYNC.metrics),
    peak_metrics=(CLOCK,),
    no_twin_reason="an admin sets sync boost, not a spec",
)
