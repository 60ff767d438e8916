"""Power: clocks held back by the power limit."""

from __future__ import annotations

from engine.verdict import counters, remedies
from engine.verdict.evidence import get_device_evidence
from engine.verdict.facts import Facts
from engine.verdict.formatting import format_share
from engine.verdict.results import Evidence
from engine.verdict.rule import Claim, ComputeBoundRule
from engine.verdict.throttling import CLOCK, POWER, claim_lost_clock


def _detect(facts: Facts, compute_share: float) -> Claim | None:
    return claim_lost_clock(facts, compute_share, POWER)


def _get_evidence(facts: Facts) -> tuple[Evidence, ...]:
    return (
        *get_device_evidence(facts.devices, "Power", "power_w", "w"),
        *counters.get_counter_evidence(facts),
    )


RULE = ComputeBoundRule(
    id="power",
    limit="power",
    title="Power",
    sentence="Clocks are held back by the power limit; at full clock {share} of each step would be saved.",
    formula=(
        "compute share x (1 - clock / reference clock), "
        f"where held back by power >= {format_share(POWER.limit)} of the time"
    ),
    detect=_detect,
    get_evidence=_get_evidence,
    remedies=(remedies.RAISE_POWER,),
    device_metrics=(*counters.METRICS, *POWER.metrics, "power_w"),
    peak_metrics=(CLOCK,),
    no_twin_reason="a power limit is set by an admin, not by a spec",
)
