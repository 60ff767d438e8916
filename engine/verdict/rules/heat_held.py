"""Held back by heat: throttled clocks, or temperatures at which they are."""

from __future__ import annotations

from engine.verdict import remedies
from engine.verdict.facts import Facts
from engine.verdict.formatting import format_share
from engine.verdict.results import Evidence
from engine.verdict.rule import Observation, StateRule
from engine.verdict.throttling import (
    CHIP,
    HEAT,
    HOT_CHIP,
    HOT_MEMORY,
    MEMORY,
    find_hot_part,
    get_temperature_evidence,
    get_throttle_evidence,
    observe_throttle,
)


def _detect(facts: Facts) -> Observation | None:
    throttled = observe_throttle(facts, HEAT)
    if throttled is not None:
        return Observation(
            f"Clocks were held back by temperature {throttled.text} of the time.", throttled.severity
        )
    uncounted = [device for device in facts.devices if HEAT.metric not in device.means]
    found = [(device, part) for device in uncounted if (part := find_hot_part(device)) is not None]
    if not found:
        return None
    device, (part, celsius) = max(found, key=lambda pair: pair[1][1])
    text = (
        f"The {part} of device {device.title} reached {celsius:.0f} degrees Celsius; whether its clocks were "
        "held back is not known, since it does not count that."
    )
    return Observation(text, "notable")


def _get_evidence(facts: Facts) -> tuple[Evidence, ...]:
    return (*get_throttle_evidence(facts, HEAT), *get_temperature_evidence(facts))


RULE = StateRule(
    id="heat_held",
    limit="power",
    title="Held back by heat",
    sentence="{text}",
    formula=(
        f"throttle counter / wall >= {format_share(HEAT.limit)}; without a counter a chip from {HOT_CHIP['cuda']:.0f} "
        f"(CPU {HOT_CHIP['cpu']:.0f}) or a memory from {HOT_MEMORY:.0f} degrees Celsius"
    ),
    detect=_detect,
    get_evidence=_get_evidence,
    device_metrics=(HEAT.metric,),
    peak_metrics=(CHIP, MEMORY),
    remedies=(remedies.COOL,),
)
