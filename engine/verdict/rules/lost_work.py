"""Lost work: steps that no checkpoint kept."""

from __future__ import annotations

from engine.spec.spec import Spec
from engine.verdict import spec_edits
from engine.verdict.evidence import get_clock_evidence
from engine.verdict.facts import ClockFacts
from engine.verdict.remedies import Remedy
from engine.verdict.results import Evidence
from engine.verdict.rule import ClockRule


def _measure(clock: ClockFacts) -> float:
    return clock.sum("lost_steps")


def _describe(clock: ClockFacts) -> dict[str, object]:
    return {"steps": f"{clock.num_lost_steps:,} step{'' if clock.num_lost_steps == 1 else 's'}"}


def _predict(old: Spec, new: Spec) -> float:
    """An interruption loses half the steps between two checkpoints on average."""
    before = old.budget.checkpoint_every or old.budget.steps
    return (new.budget.checkpoint_every or new.budget.steps) / before


def _get_evidence(clock: ClockFacts) -> tuple[Evidence, ...]:
    lost = Evidence("Lost steps", float(clock.num_lost_steps), "", "measured", "", "repeated, or given up")
    return (lost, *get_clock_evidence(clock, "step"))


RULE = ClockRule(
    id="lost_work",
    limit="compute",
    title="Lost work",
    sentence="{share} of {base} went into {steps} that no checkpoint kept.",
    formula="lost steps x their mean time / time on the devices",
    measure=_measure,
    describe=_describe,
    predict=_predict,
    get_evidence=_get_evidence,
    base="held",
    remedies=(
        Remedy(
            "more_checkpoints", "More checkpoints",
            "Saves twice as often, so an interrupted attempt loses half as many steps.",
            spec_edits.checkpoint_more_often,
        ),
    ),
    no_twin_reason="a twin is not interrupted",
)  # fmt: skip
