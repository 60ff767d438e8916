"""Between the steps: host work that is neither validation, checkpoint nor record."""

from __future__ import annotations

from engine.spec.spec import Spec
from engine.verdict import remedies
from engine.verdict.evidence import get_clock_evidence
from engine.verdict.facts import ClockFacts
from engine.verdict.results import Evidence
from engine.verdict.rule import ClockRule

PARTS = ("between_steps", "recovery", "asleep")


def _measure(clock: ClockFacts) -> float:
    return clock.sum(*PARTS)


def _predict(old: Spec, new: Spec) -> float:
    """A part that each step has is paid once per global batch."""
    return old.batch.global_batch_size / new.batch.global_batch_size


def _get_evidence(clock: ClockFacts) -> tuple[Evidence, ...]:
    return get_clock_evidence(clock, *PARTS, "step")


RULE = ClockRule(
    id="between_steps",
    limit="compute",
    title="Between the steps",
    sentence="{share} of {base} is between the steps, in neither validation, checkpoints nor recording.",
    formula="(between_steps + recovery + asleep) / training loop after its first step",
    measure=_measure,
    predict=_predict,
    get_evidence=_get_evidence,
    remedies=(remedies.ACCUMULATE,),
    no_twin_reason="a twin is too short to show it",
)
