"""Pipeline bubble: stages that idle while the pipeline fills and drains."""

from __future__ import annotations

from collections.abc import Mapping

from engine.verdict import remedies, spec_edits
from engine.verdict.results import Evidence
from engine.verdict.rule import LossRule
from engine.verdict.spec_change import SpecChange
from engine.verdict.step_model import IDLE_REACH, StepModel


def _measure(model: StepModel, taken_s: float) -> float | None:
    if not model.is_pipeline:
        return None
    if model.has_bubble_phase:
        return max(0.0, model.step_s - model.unaccounted_s - taken_s)
    return model.formula_idle_s


def _predict(seconds: float, change: SpecChange) -> float:
    """(p - 1) / m of a stage's busy time, scaled by the measured bubble over the expected one."""
    model, p, m = change.model, change.old.parallel.stages, change.old.accumulation
    old_s = (model.get_mean("forward_s", "backward_s") + model.host_s) / m * (p - 1)
    new_s = (change.new_forward_backward_s + model.host_s) / change.new.accumulation
    ratio = seconds / old_s if old_s > 0 else 1.0
    return ratio * new_s * (change.new.parallel.stages - 1)


def _describe(model: StepModel) -> Mapping[str, object]:
    return {"stages": model.facts.stages, "micro_batches": model.facts.micro_batches}


def _get_evidence(model: StepModel, seconds: float) -> tuple[Evidence, ...]:
    p, m = model.facts.stages, model.facts.micro_batches
    is_measured = model.has_bubble_phase
    return (
        Evidence(
            "(p - 1) / (m + p - 1)", (p - 1) / (m + p - 1), "share", "derived", "", f"p = {p}, m = {m}"
        ),
        Evidence(
            "Idle in the pipeline", model.get_mean("bubble_s") / model.step_s if is_measured else None, "share",
            "measured" if is_measured else "absent",
            f"more than {IDLE_REACH} x the line above: waits between micro-batches, or imbalance",
            "bubble_s, mean over the ranks",
            "" if is_measured else "its ranks did not record bubble_s; derived from stage times",
        ),
    )  # fmt: skip


RULE = LossRule(
    id="bubble",
    limit="compute",
    title="Pipeline bubble",
    sentence=(
        "The pipeline bubble takes {share} of each step: {stages} stages fill and empty for {micro_batches} "
        "micro-batches."
    ),
    formula="sum of stage times - slowest stage time; equal stages: (p - 1) / (m + p - 1)",
    measure=_measure,
    predict=_predict,
    get_evidence=_get_evidence,
    describe=_describe,
    remedies=(remedies.SMALLER_MICRO_BATCH, remedies.ACCUMULATE, remedies.FEWER_STAGES),
    twin_edits=(spec_edits.halve_micro_batch, spec_edits.double_global_batch, spec_edits.halve_stages),
    is_stretched_by_others=True,
    colour="series-3",
)
