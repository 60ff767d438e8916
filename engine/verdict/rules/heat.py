"""Heat: clocks held back by temperature."""

from __future__ import annotations

from engine.verdict import counters, remedies
from engine.verdict.facts import Facts
from engine.verdict.formatting import format_share
from engine.verdict.results import Evidence
from engine.verdict.rule import Claim, ComputeBoundRule
from engine.verdict.throttling import CHIP, CLOCK, HEAT, MEMORY, claim_lost_clock, get_temperature_evidence


def _detect(facts: Facts, compute_share: float) -> Claim | None:
    return claim_lost_clock(facts, compute_share, HEAT)


def _get_evidence(facts: Facts) -> tuple[Evidence, ...]:
    return (*get_temperature_evidence(facts), *counters.get_counter_evidence(facts))


RULE = ComputeBoundRule(
    id="heat",
    limit="power",
    title="Heat",
    sentence="Clocks are held back by temperature; at full clock {share} of each step would be saved.",
    formula=(
        "compute share x (1 - clock / reference clock), "
        f"where held back by heat >= {format_share(HEAT.limit)} of the time"
    ),
    detect=_detect,
    get_evidence=_get_evidence,
    remedies=(remedies.COOL,),
    device_metrics=(*counters.METRICS, *HEAT.metrics),
    peak_metrics=(CHIP, MEMORY, CLOCK),
    no_twin_reason="no field of a spec cools a device",
)
