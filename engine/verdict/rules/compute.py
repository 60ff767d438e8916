"""Compute: the model's own arithmetic, with no other limit found."""

from __future__ import annotations

from engine.verdict import remedies, spec_edits
from engine.verdict.counters import METRICS, SM, TENSOR, USED_WELL, get_counter_evidence
from engine.verdict.facts import Facts
from engine.verdict.formatting import format_share
from engine.verdict.readings import get_mean
from engine.verdict.remedies import Remedy
from engine.verdict.rule import Claim, ComputeBoundRule
from engine.verdict.thresholds import NOTABLE

USED_BADLY = 0.10  # MFU or OFU; without counters nothing says whether memory, kernels or waits are the reason
USED_LITTLE = " MFU is {share} only: find out why before looking for a faster device."
NOT_SEPARABLE = " Arithmetic or memory bandwidth: not separable here, since these devices have no counters."


def _detect(facts: Facts, compute_share: float) -> Claim:
    """Always applies, and is never severe: it is the good case."""
    return Claim(compute_share, hint=_get_hint(facts))


def _get_hint(facts: Facts) -> str:
    if facts.on_cpu or (get_mean(facts, TENSOR) is None and get_mean(facts, SM) is None):
        badly = facts.mfu_share is not None and facts.mfu_share < USED_BADLY and not facts.on_cpu
        return NOT_SEPARABLE + (USED_LITTLE.format(share=format_share(facts.mfu_share or 0)) if badly else "")
    used = facts.ofu_share if facts.ofu_share is not None else facts.mfu_share
    if used is not None and used >= USED_WELL:
        return f" The device's arithmetic is used to {format_share(used)}: the good case."
    if used is not None and used < USED_BADLY:
        return (
            f" The device's arithmetic is used to {format_share(used)} only, for a reason that nothing shows."
        )
    return ""


RULE = ComputeBoundRule(
    id="compute",
    limit="compute",
    title="Compute",
    sentence=(
        f"Compute takes {{share}} of each step; no other limit costs {format_share(NOTABLE)} or more.{{hint}}"
    ),
    formula="forward_s + backward_s + optimiser_s, mean over the ranks",
    detect=_detect,
    get_evidence=get_counter_evidence,
    remedies=(
        remedies.HALF_PRECISION,
        Remedy(
            "no_recompute", "Keep activations",
            "Nothing is computed again in the backward pass, for more memory on each device.",
            spec_edits.keep_activations,
        ),
        remedies.SHARD_HEAD,
        Remedy(
            "better_shapes", "Better shapes", "Widths and vocabularies in multiples of 64 fill tensor cores."
        ),
        Remedy(
            "faster_device", "Faster or more devices",
            "Nothing that was measured slows this run beside its own arithmetic.",
        ),
    ),
    device_metrics=METRICS,
    twin_edits=(spec_edits.keep_activations, spec_edits.halve_layers),
    colour="series-1",
    is_avoidable=False,
)  # fmt: skip
