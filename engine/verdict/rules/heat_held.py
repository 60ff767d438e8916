"""Held back by heat: clocks throttled for a notable share of the time."""

from __future__ import annotations

from engine.verdict import remedies
from engine.verdict.facts import Facts
from engine.verdict.formatting import format_share
from engine.verdict.results import Evidence
from engine.verdict.rule import Observation, StateRule
from engine.verdict.throttling import HEAT, get_throttle_evidence, observe_throttle


def _detect(facts: Facts) -> Observation | None:
    return observe_throttle(facts, HEAT)


def _get_evidence(facts: Facts) -> tuple[Evidence, ...]:
    return get_throttle_evidence(facts, HEAT)


RULE = StateRule(
    id="heat_held",
    limit="power",
    title="Held back by heat",
    sentence="Clocks were held back by temperature {text} of the time.",
    formula=f"throttle counter / wall >= {format_share(HEAT.limit)}",
    detect=_detect,
    get_evidence=_get_evidence,
    device_metrics=(HEAT.metric,),
    remedies=(remedies.COOL,),
)
