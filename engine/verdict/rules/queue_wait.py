"""Waiting for devices: more time in the queue than on the devices."""

from __future__ import annotations

from engine.verdict.facts import Facts
from engine.verdict.formatting import format_share
from engine.verdict.remedies import Remedy
from engine.verdict.results import Evidence
from engine.verdict.rule import Observation, StateRule

SHARE = 0.5  # of the time in the queue and on the devices
LEAST_S = 60.0


def _detect(facts: Facts) -> Observation | None:
    share = _get_share(facts)
    if share is None or share < SHARE or facts.clock is None or facts.clock.queued_s < LEAST_S:
        return None
    return Observation(f"{format_share(share)} of its time so far ({facts.clock.queued_s:,.0f} s)", "notable")


def _get_share(facts: Facts) -> float | None:
    if facts.clock is None or facts.clock.held_s <= 0:
        return None
    return facts.clock.queued_s / (facts.clock.queued_s + facts.clock.held_s)


def _get_evidence(facts: Facts) -> tuple[Evidence, ...]:
    threshold = f">= {format_share(SHARE)} and {LEAST_S:.0f} s"
    return (
        Evidence(
            "Time in the queue", _get_share(facts), "share", "measured", threshold, "queued / (queued + held)"
        ),
    )


RULE = StateRule(
    id="queue_wait",
    limit="compute",
    title="Waiting for devices",
    sentence="It waited in the queue for {text}.",
    formula=f"time in the queue >= {format_share(SHARE)} of the time in the queue and on the devices",
    detect=_detect,
    get_evidence=_get_evidence,
    remedies=(
        Remedy(
            "other_pool", "Another pool, or fewer devices",
            "A job of fewer devices fits into smaller gaps; the queue page shows when each pool could start it.",
        ),
    ),
)  # fmt: skip
