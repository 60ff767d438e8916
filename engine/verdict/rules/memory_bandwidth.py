"""Memory bandwidth: compute that waits for device memory."""

from __future__ import annotations

from engine.verdict import remedies, spec_edits
from engine.verdict.counters import (
    BANDWIDTH,
    BANDWIDTH_BUSY,
    METRICS,
    TENSOR,
    TENSOR_IDLE,
    get_counter_evidence,
)
from engine.verdict.facts import Facts
from engine.verdict.formatting import format_share
from engine.verdict.readings import get_mean
from engine.verdict.rule import Claim, ComputeBoundRule
from engine.verdict.thresholds import get_severity
from engine.verdict.throttling import HEAT, POWER, are_clocks_known


def _detect(facts: Facts, compute_share: float) -> Claim | None:
    bandwidth, tensor = get_mean(facts, BANDWIDTH), get_mean(facts, TENSOR)
    if bandwidth is None or tensor is None or bandwidth < BANDWIDTH_BUSY or tensor >= TENSOR_IDLE:
        return None
    # With unknown clocks, throttling may cost more than memory bandwidth does.
    return Claim(compute_share, get_severity(compute_share) if are_clocks_known(facts) else "notable")


RULE = ComputeBoundRule(
    id="memory_bandwidth",
    limit="memory",
    title="Memory bandwidth",
    sentence=(
        "Compute takes {share} of each step, and it waits for device memory: DRAM is busy, tensor cores are not."
    ),
    formula=(
        f"forward + backward + update; DRAM active >= {format_share(BANDWIDTH_BUSY)} "
        f"and tensor active < {format_share(TENSOR_IDLE)}"
    ),
    detect=_detect,
    get_evidence=get_counter_evidence,
    remedies=(
        remedies.LARGER_MICRO_BATCH,
        remedies.HALF_PRECISION,
        remedies.FUSE,
        remedies.TIE_EMBEDDINGS,
        remedies.SHARD_HEAD,
    ),
    device_metrics=(*METRICS, *POWER.metrics, *HEAT.metrics),
    twin_edits=(spec_edits.halve_layers,),
)
