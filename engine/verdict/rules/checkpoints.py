"""Checkpoints: training waits for a copy of its state."""

from __future__ import annotations

import math

from engine.planner import generic_profile, get_checkpoint_disk_bytes
from engine.spec.spec import Spec, parse
from engine.verdict import spec_edits
from engine.verdict.evidence import get_clock_evidence
from engine.verdict.facts import ClockFacts
from engine.verdict.remedies import Remedy
from engine.verdict.results import Evidence
from engine.verdict.rule import ClockRule
from engine.verdict.step_model import StepModel


def _measure(clock: ClockFacts) -> float:
    return clock.sum("checkpoint")


def _predict(old: Spec, new: Spec) -> float:
    return old.budget.checkpoint_every / new.budget.checkpoint_every if new.budget.checkpoint_every else 0.0


def _get_waits_part(model: StepModel) -> float:
    """What is left without the copies of the state: waits for the save before."""
    clock, spec = model.facts.clock, parse(model.facts.spec)
    if clock is None or not clock.sum("checkpoint") or not spec.budget.checkpoint_every:
        return 0.0
    profile = model.facts.profile or generic_profile("cpu" if model.facts.on_cpu else "cuda")
    rate = (
        profile.host_link.bytes_per_s if profile.host_link else (profile.memory_bytes_per_s or math.inf) / 2
    )
    copied_bytes = get_checkpoint_disk_bytes(spec) / spec.parallel.world_size
    copies_s = clock.num_steps / spec.budget.checkpoint_every * copied_bytes / rate
    return max(0.0, 1 - copies_s / clock.sum("checkpoint"))


def _get_evidence(clock: ClockFacts) -> tuple[Evidence, ...]:
    return get_clock_evidence(clock, "checkpoint", "step")


RULE = ClockRule(
    id="checkpoints",
    limit="bandwidth",
    title="Checkpoints",
    sentence="Training waits for checkpoints in {share} of {base}: for the copy of the state and the previous save.",
    formula="checkpoint / training loop after its first step",
    measure=_measure,
    predict=_predict,
    get_evidence=_get_evidence,
    remedies=(
        Remedy(
            "fewer_checkpoints", "Fewer checkpoints",
            "Saves a tenth as often. An interrupted attempt loses more steps.", spec_edits.checkpoint_less_often,
        ),
        Remedy(
            "faster_storage", "Faster checkpoint storage",
            "Files are written beside training, but a save waits for the one before it: a faster or nearer disk, or "
            "more time between two saves, ends that wait. The copy of the state stays.",
            removes=_get_waits_part,
        ),
        Remedy(
            "async_checkpoints", "Save beside training",
            "Copy the state to host memory and write it in a thread or process of its own, as "
            "torch.distributed.checkpoint.async_save does: training waits for the copy only.",
            audience="scripts",
        ),
    ),
    no_twin_reason="a twin makes no checkpoint",
)  # fmt: skip
