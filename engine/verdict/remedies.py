"""Remedies that several rules share."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Literal

from engine.planner import OWN, EngineTraits
from engine.verdict import spec_edits
from engine.verdict.spec_edits import SpecEdit, SpecEdits
from engine.verdict.step_model import StepModel

Removed = Callable[[StepModel], float]  # part of the rule's cost that goes away


@dataclass(frozen=True)
class Remedy:
    """A change that may help. `spec_edit` makes it; without one, the sentence says what to do by hand.

    What a change by hand saves is `removes`: the part of its rule's cost that goes away; None: nothing tells how much.
    `trainer`: the change makes another trainer of this one, and the step model predicts that.
    """

    id: str
    title: str
    sentence: str
    spec_edit: SpecEdit | None = None
    needs_gpu: bool = False
    choices: SpecEdits | None = None  # several edits, of which the best predicted one is proposed
    removes: float | Removed | None = None
    trainer: EngineTraits | None = None
    audience: Literal["all", "jobs", "scripts"] = "all"  # scripts: runs that Fourwalls did not launch


ACCUMULATE = Remedy(
    "accumulate", "Twice the global batch",
    "Spreads the fixed cost of a step over twice the tokens. The training itself changes: the learning rate may have "
    "to follow.",
    spec_edits.double_global_batch,
)  # fmt: skip
LARGER_MICRO_BATCH = Remedy(
    "larger_micro_batch", "Larger micro-batch",
    "Fewer, larger pieces: less host work, for more memory on each device. The updates stay the same.",
    spec_edits.double_micro_batch, choices=spec_edits.list_larger_micro_batches,
)  # fmt: skip
LOWER_ZERO = Remedy(
    "lower_zero", "Lower ZeRO stage",
    "Fewer gathers, reductions and hooks in each micro-batch, for more memory on each device.",
    spec_edits.lower_zero_stage, choices=spec_edits.list_lower_zero_stages,
)  # fmt: skip
SMALLER_MICRO_BATCH = Remedy(
    "smaller_micro_batch", "Smaller micro-batch",
    "More pieces fill the pipeline better and need less memory. The updates stay the same.",
    spec_edits.halve_micro_batch, choices=spec_edits.list_smaller_micro_batches,
)  # fmt: skip
FEWER_STAGES = Remedy(
    "fewer_stages", "Half the stages",
    "A shorter pipeline, with copies of the model on the freed devices, for more memory on each device.",
    spec_edits.halve_stages,
)  # fmt: skip
HALF_PRECISION = Remedy(
    "half_precision", "Half precision",
    "bf16 doubles the rate of tensor cores and halves the memory traffic on devices that support it well.",
    spec_edits.use_bf16, needs_gpu=True,
)  # fmt: skip
RECOMPUTE = Remedy(
    "recompute", "Recompute activations",
    "Most activations are computed again in the backward pass instead of being kept.", spec_edits.recompute,
)  # fmt: skip
HIGHER_ZERO = Remedy(
    "higher_zero", "Higher ZeRO stage",
    "The data ranks share the optimiser state, then gradients, then parameters.", spec_edits.raise_zero_stage,
)  # fmt: skip
OFFLOAD = Remedy(
    "offload", "Offload the optimiser", "Its state lives in host memory.", spec_edits.offload_optimiser
)
RAISE_POWER = Remedy(
    "raise_power", "Raise the power limit",
    "If cooling allows. A lower limit is often better per joule, so compare tokens per joule first.",
    removes=1.0,
)  # fmt: skip
COOL = Remedy(
    "cooling", "Cool the device", "Check inlet temperature, fans and other load in the rack.", removes=1.0
)
TIE_EMBEDDINGS = Remedy(
    "tie_embeddings", "Tie head and token embedding",
    "One table of the vocabulary instead of two: less to exchange, update, keep and save. The model changes, so compare "
    "its loss.",
    spec_edits.tie_embeddings,
)  # fmt: skip
SHARD_HEAD = Remedy(
    "shard_head", "Shard the head over the tensor ranks",
    "A trainer with a vocabulary-parallel head (as in Megatron-LM) gives each tensor rank its part of the vocabulary, "
    "where this one computes all logits on each. No field of a spec changes that.",
    trainer=replace(OWN, splits_head=True), audience="jobs",
)  # fmt: skip
FUSE = Remedy(
    "fewer_launches", "Fewer, larger kernels",
    "Compiled or fused operations launch the same work less often: torch.compile, or fused kernels in a trainer that "
    "has them. A faster host core helps too.",
    trainer=replace(OWN, is_compiled=True),
)  # fmt: skip
LEAVE_SYNC_BOOST = Remedy(
    "leave_sync_boost", "Take the slow GPU out of the sync boost group",
    "One GPU of the group is hotter, has a lower power limit or is faulty, and all others follow its clock. An admin "
    "finds it by its clock and temperature, or ends sync boost with `dcgmi config --set -s 0`.",
    removes=1.0,
)  # fmt: skip
