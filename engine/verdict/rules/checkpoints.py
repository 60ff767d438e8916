"""Checkpoints: training waits for a copy of its state."""

from __future__ import annotations

from engine.spec.spec import Spec
from engine.verdict import spec_edits
from engine.verdict.evidence import get_clock_evidence
from engine.verdict.facts import ClockFacts
from engine.verdict.remedies import Remedy
from engine.verdict.results import Evidence
from engine.verdict.rule import ClockRule


def _measure(clock: ClockFacts) -> float:
    return clock.sum("checkpoint")


def _predict(old: Spec, new: Spec) -> float:
    return old.budget.checkpoint_every / new.budget.checkpoint_every if new.budget.checkpoint_every else 0.0


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
            "more time between two saves, ends that wait.",
        ),
    ),
    no_twin_reason="a twin makes no checkpoint",
)  # fmt: skip
