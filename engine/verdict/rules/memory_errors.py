"""Memory errors: single-bit errors that ECC corrects, at a high rate.

The rate of 10 an hour is our own proposal; DCGM has no tested limit either.
"""

from __future__ import annotations

from engine.verdict.counter_rates import find_fast_counters, get_counter_growth
from engine.verdict.facts import Facts
from engine.verdict.remedies import Remedy
from engine.verdict.results import Evidence
from engine.verdict.rule import Observation, StateRule

ERRORS, PER_HOUR = "memory_errors_corrected", 10.0
HOUR_S = 3600.0


def _detect(facts: Facts) -> Observation | None:
    found = find_fast_counters(facts, ERRORS, PER_HOUR, HOUR_S)
    if not found:
        return None
    device, rate = found[0]
    text = f"ECC corrected {rate:,.0f} memory errors an hour on device {device.title}"
    return Observation(
        text + (f", and more on {len(found) - 1} other devices." if len(found) > 1 else "."), "notable"
    )


def _get_evidence(facts: Facts) -> tuple[Evidence, ...]:
    return get_counter_growth(facts, ERRORS, "Memory errors corrected", f"> {PER_HOUR:.0f} an hour")


RULE = StateRule(
    id="memory_errors",
    limit="memory",
    title="Memory errors",
    sentence="{text} The results are right, but an error that cannot be corrected ends the run.",
    formula=f"growth of the counter of corrected errors in this run > {PER_HOUR:.0f} an hour",
    detect=_detect,
    get_evidence=_get_evidence,
    counter_metrics=(ERRORS,),
    remedies=(
        Remedy(
            "check_memory", "Have the memory checked",
            "An admin drains the node, resets the GPU, so that bad rows are remapped, and runs a memory diagnosis. "
            "Until then checkpoint more often.",
        ),
    ),
)  # fmt: skip
