"""Unhealthy device: faults that its driver reports."""

from __future__ import annotations

from engine.verdict.facts import Facts
from engine.verdict.results import Evidence
from engine.verdict.rule import Observation, StateRule

FORMULA = "driver: Xid, uncorrectable ECC, lost device"


def _detect(facts: Facts) -> Observation | None:
    return Observation(" ".join(facts.faults), "strong") if facts.faults else None


def _get_evidence(facts: Facts) -> tuple[Evidence, ...]:
    return (Evidence("Faulty devices", len(facts.faults), "", "measured", "> 0", FORMULA),)


RULE = StateRule(
    id="unhealthy",
    limit="compute",
    title="Unhealthy device",
    sentence="{text}",
    formula=FORMULA,
    detect=_detect,
    get_evidence=_get_evidence,
    no_remedy_reason="an admin repairs or replaces the device",
    makes_provisional=True,
)
