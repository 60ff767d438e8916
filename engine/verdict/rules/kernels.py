"""Small kernels: busy SMs with neither tensor cores nor memory busy."""

from __future__ import annotations

from engine.verdict import remedies, spec_edits
from engine.verdict.counters import (
    BANDWIDTH,
    BANDWIDTH_BUSY,
    METRICS,
    SM,
    SM_BUSY,
    TENSOR,
    TENSOR_BUSY,
    get_counter_evidence,
)
from engine.verdict.facts import Facts
from engine.verdict.formatting import format_share
from engine.verdict.readings import get_mean
from engine.verdict.rule import Claim, ComputeBoundRule


def _detect(facts: Facts, compute_share: float) -> Claim | None:
    sm, tensor, bandwidth = (get_mean(facts, metric) for metric in (SM, TENSOR, BANDWIDTH))
    if sm is None or tensor is None or bandwidth is None:
        return None
    applies = sm >= SM_BUSY and tensor < TENSOR_BUSY and bandwidth < BANDWIDTH_BUSY
    return Claim(compute_share, "notable") if applies else None


RULE = ComputeBoundRule(
    id="kernels",
    limit="compute",
    title="Small kernels",
    sentence=(
        "Compute takes {share} of each step with neither tensor cores nor memory busy: small or unsuitable kernels."
    ),
    formula=(
        f"forward + backward + update; SM active >= {format_share(SM_BUSY)}, "
        f"tensor < {format_share(TENSOR_BUSY)}, DRAM < {format_share(BANDWIDTH_BUSY)}"
    ),
    detect=_detect,
    get_evidence=get_counter_evidence,
    remedies=(
        remedies.LARGER_MICRO_BATCH,
        remedies.HALF_PRECISION,
        remedies.FUSE,
        remedies.SHARD_HEAD,
    ),
    device_metrics=METRICS,
    twin_edits=(spec_edits.halve_layers,),
)
