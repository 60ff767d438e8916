"""Held back by power: clocks throttled for a notable share of the time."""

from __future__ import annotations

from engine.verdict import remedies
from engine.verdict.evidence import get_device_evidence
from engine.verdict.facts import Facts
from engine.verdict.formatting import format_share
from engine.verdict.results import Evidence
from engine.verdict.rule import Observation, StateRule
from engine.verdict.throttling import POWER, get_throttle_evidence, observe_throttle


def _detect(facts: Facts) -> Observation | None:
    return observe_throttle(facts, POWER)


def _get_evidence(facts: Facts) -> tuple[Evidence, ...]:
    return (
        *get_throttle_evidence(facts, POWER),
        *get_device_evidence(facts.devices, "Power", "power_w", "w"),
    )


RULE = StateRule(
    id="power_held",
    limit="power",
    title="Held back by power",
    sentence="Clocks were held back by power {text} of the time.",
    formula=f"throttle counter / wall >= {format_share(POWER.limit)}",
    detect=_detect,
    get_evidence=_get_evidence,
    device_metrics=(POWER.metric, "power_w"),
    remedies=(remedies.RAISE_POWER,),
)
