"""PCIe errors: packets that a link had to send again.

8 a minute is the limit of NVIDIA's DCGM health check.
"""

from __future__ import annotations

from engine.verdict.counter_rates import find_fast_counters, get_counter_growth
from engine.verdict.facts import Facts
from engine.verdict.remedies import Remedy
from engine.verdict.results import Evidence
from engine.verdict.rule import Observation, StateRule

REPLAYS, PER_MINUTE = "pcie_replays", 8.0
MINUTE_S = 60.0


def _detect(facts: Facts) -> Observation | None:
    found = find_fast_counters(facts, REPLAYS, PER_MINUTE, MINUTE_S)
    if not found:
        return None
    device, rate = found[0]
    text = f"PCIe packets of device {device.title} were sent again {rate:,.0f} times a minute"
    return Observation(
        text + (f", and of {len(found) - 1} more devices." if len(found) > 1 else "."), "notable"
    )


def _get_evidence(facts: Facts) -> tuple[Evidence, ...]:
    return get_counter_growth(facts, REPLAYS, "PCIe replays", f"> {PER_MINUTE:.0f} a minute")


RULE = StateRule(
    id="pcie_errors",
    limit="bandwidth",
    title="PCIe errors",
    sentence="{text} A bad contact slows transfers, and such a link often fails later.",
    formula=f"growth of the replay counter in this run > {PER_MINUTE:.0f} a minute",
    detect=_detect,
    get_evidence=_get_evidence,
    counter_metrics=(REPLAYS,),
    remedies=(
        Remedy(
            "reseat", "Reseat the GPU and its cables",
            "An admin drains the node, reseats card, riser and cables, and runs a diagnosis of the link.",
        ),
    ),
)  # fmt: skip
