"""Held back by sync boost: clocks lowered to those of a slower GPU."""

from __future__ import annotations

from engine.verdict import remedies
from engine.verdict.facts import Facts
from engine.verdict.formatting import format_share
from engine.verdict.results import Evidence
from engine.verdict.rule import Observation, StateRule
from engine.verdict.throttling import SYNC, get_throttle_evidence, observe_throttle


def _detect(facts: Facts) -> Observation | None:
    return observe_throttle(facts, SYNC)


def _get_evidence(facts: Facts) -> tuple[Evidence, ...]:
    return get_throttle_evidence(facts, SYNC)


RULE = StateRule(
    id="sync_held",
    limit="power",
    title="Held back by sync boost",
    sentence="Clocks were held back by those of a slower GPU (sync boost) {text} of the time.",
    formula=f"throttle counter / wall >= {format_share(SYNC.limit)}",
    detect=_detect,
    get_evidence=_get_evidence,
    device_metrics=(SYNC.metric,),
    remedies=(remedies.LEAVE_SYNC_BOOST,),
)
