"""Validation: held-out data and sample outputs between the steps."""

from __future__ import annotations

from engine.spec.spec import Spec
from engine.verdict import spec_edits
from engine.verdict.evidence import get_clock_evidence
from engine.verdict.facts import ClockFacts
from engine.verdict.formatting import format_share
from engine.verdict.remedies import Remedy
from engine.verdict.results import Evidence
from engine.verdict.rule import ClockRule
from engine.verdict.step_model import StepModel

OUTPUTS_NAMED_FROM = 0.3  # share of the validations


def _measure(clock: ClockFacts) -> float:
    return clock.sum("validation", "outputs")


def _describe(clock: ClockFacts) -> dict[str, object]:
    total = _measure(clock)
    outputs = clock.sum("outputs") / total if total else 0.0
    text = (
        f", {format_share(outputs)} of it to generate sample outputs" if outputs >= OUTPUTS_NAMED_FROM else ""
    )
    return {"outputs": text}


def _predict(old: Spec, new: Spec) -> float:
    return old.budget.validate_every / new.budget.validate_every if new.budget.validate_every else 0.0


def _get_half_of_losses(model: StepModel) -> float:
    """Half the held-out data; sample outputs stay."""
    clock = model.facts.clock
    return clock.sum("validation") / 2 / _measure(clock) if clock and _measure(clock) > 0 else 0.0


def _get_evidence(clock: ClockFacts) -> tuple[Evidence, ...]:
    return get_clock_evidence(clock, "validation", "outputs", "step")


RULE = ClockRule(
    id="validation",
    limit="compute",
    title="Validation",
    sentence="Validation takes {share} of {base}{outputs}.",
    formula="(validation + outputs) / training loop after its first step",
    measure=_measure,
    describe=_describe,
    predict=_predict,
    get_evidence=_get_evidence,
    remedies=(
        Remedy(
            "fewer_validations", "Fewer validations",
            "Validates a tenth as often. The curve of the validation loss has fewer points.",
            spec_edits.validate_less_often,
        ),
        Remedy(
            "less_held_out", "Less held-out data",
            "Half the validation share takes half the time each time, for a noisier validation loss.",
            removes=_get_half_of_losses,
        ),
    ),
    no_twin_reason="a twin is too short to validate as this run does",
)  # fmt: skip
