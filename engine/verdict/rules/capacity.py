"""Memory capacity: speed given up because the faster plan does not fit."""

from __future__ import annotations

from engine.verdict import remedies, spec_edits
from engine.verdict.facts import Facts
from engine.verdict.formatting import format_share
from engine.verdict.results import Evidence
from engine.verdict.rule import Claim, ComputeBoundRule
from engine.verdict.thresholds import NOTABLE

# Edits that trade memory for speed; the planner says which of them memory refuses.
SPEED_EDITS = (spec_edits.keep_activations, spec_edits.double_micro_batch)


def _detect(facts: Facts, compute_share: float) -> Claim | None:
    gain = facts.unlimited_gain_share
    if gain is None or gain < NOTABLE or not _saves_memory(facts):
        return None
    return Claim(gain, "notable")  # an estimate is never strong


def _saves_memory(facts: Facts) -> bool:
    """Whether the spec itself shows that memory is short."""
    parallel, batch = facts.spec.get("parallel", {}), facts.spec.get("batch", {})
    offloads = (parallel.get("offload_optimiser"), parallel.get("offload_parameters"))
    return (
        batch.get("micro_batch_size") == 1
        or parallel.get("activation_checkpointing", "none") != "none"
        or "host" in offloads
        or "disk" in offloads
    )


def _get_evidence(facts: Facts) -> tuple[Evidence, ...]:
    return (
        Evidence(
            "Saved by changes that memory refuses", facts.unlimited_gain_share, "share", "estimated",
            f">= {format_share(NOTABLE)}", "this run's phases, of a plan that will not fit",
        ),
    )  # fmt: skip


RULE = ComputeBoundRule(
    id="capacity",
    limit="memory",
    title="Memory capacity",
    sentence="Memory capacity is the limit: changes that only memory refuses would save {share} of each step.",
    formula=(
        "recompute off or a larger micro-batch, by this run's phases, where the planner says that it will not fit"
    ),
    detect=_detect,
    get_evidence=_get_evidence,
    remedies=(remedies.RECOMPUTE, remedies.HIGHER_ZERO, remedies.OFFLOAD, remedies.TIE_EMBEDDINGS),
    twin_edits=(spec_edits.keep_activations,),
)
