"""Memory nearly full: peak use, allocator retries and earlier failures.

92 % and 97 % are the thresholds of TraceML 0.5.
"""

from __future__ import annotations

from engine.verdict import remedies
from engine.verdict.facts import Facts
from engine.verdict.formatting import format_bytes, format_share
from engine.verdict.readings import LIMIT, PSS, RESIDENT, get_fullest_device, get_fullest_host
from engine.verdict.results import Evidence
from engine.verdict.rule import Observation, StateRule

FULL, CRITICAL = 0.92, 0.97  # of the device's memory


def _detect(facts: Facts) -> Observation | None:
    device, share = get_fullest_device(facts) or (None, 0.0)
    sentences = []
    if device is not None and share >= FULL:
        sentences.append(
            f"Device {device.title} had {format_bytes(device.peak_bytes or 0)} of "
            f"{format_bytes(device.capacity_bytes or 0)} in use ({format_share(share)})."
        )
    host = get_fullest_host(facts)
    if host is not None and host.share >= FULL:
        where = f" on host {host.host}" if host.host else ""
        sentences.append(
            f"The processes{where} held {format_bytes(host.used_bytes)} of the {format_bytes(host.limit_bytes)} that "
            f"their control group allows ({format_share(host.share)}); beyond, the kernel ends one of them."
        )
        share = max(share, host.share)
    retries = _count_retries(facts)
    if retries:
        sentences.append(f"The allocator had to free memory and try again {retries:.0f} times.")
    if facts.ran_out_of_memory:
        sentences.append("An earlier attempt ran out of memory.")
    if not sentences:
        return None
    is_critical = share >= CRITICAL or retries > 0 or facts.ran_out_of_memory
    return Observation(" ".join(sentences), "strong" if is_critical else "notable")


def _count_retries(facts: Facts) -> float:
    return sum(device.alloc_retries or 0 for device in facts.devices)


def _get_evidence(facts: Facts) -> tuple[Evidence, ...]:
    rows = []
    found = get_fullest_device(facts)
    if found is not None and found[1] >= FULL:
        threshold = f">= {format_share(FULL)}; strong from {format_share(CRITICAL)}"
        rows.append(
            Evidence("Most memory in use", found[1], "share", "measured", threshold, "peak / capacity")
        )
    host = get_fullest_host(facts)
    if host is not None and host.share >= FULL:
        rows.append(
            Evidence(
                "Of the control group's limit", host.share, "share", "measured", f">= {format_share(FULL)}",
                "highest PSS (else resident memory) of the ranks on one host / limit",
            )
        )  # fmt: skip
    retries = _count_retries(facts)
    if retries:
        rows.append(Evidence("Allocator retries", retries, "", "measured", "> 0", "torch allocator"))
    return tuple(rows)


RULE = StateRule(
    id="memory_full",
    limit="memory",
    title="Memory nearly full",
    sentence="{text}",
    formula=(
        "most memory in use / capacity of the device, or of the ranks on a host / limit of their control group, >= "
        f"{format_share(FULL)} ({format_share(CRITICAL)}: strong); or allocator retries; or an earlier attempt ran out"
    ),
    detect=_detect,
    get_evidence=_get_evidence,
    peak_metrics=(PSS, RESIDENT, LIMIT),
    remedies=(
        remedies.RECOMPUTE, remedies.HIGHER_ZERO, remedies.SMALLER_MICRO_BATCH, remedies.OFFLOAD,
        remedies.TIE_EMBEDDINGS,
    ),
)  # fmt: skip
