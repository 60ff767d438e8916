"""Small micro-batches: fixed costs that come again with each of them."""

from __future__ import annotations

from collections.abc import Mapping

from engine.verdict import remedies, spec_edits
from engine.verdict.results import Evidence
from engine.verdict.rule import LossRule
from engine.verdict.spec_change import SpecChange
from engine.verdict.step_model import StepModel


def _measure(model: StepModel, taken_s: float) -> float | None:
    return model.dispatch_s or None


def _predict(seconds: float, change: SpecChange) -> float:
    """Waits between stages and gaps between kernels; the operations of the passes are predicted with these."""
    model = change.model
    waits = model.hand_over_s if change.new.parallel.stages > 1 else 0.0
    per_micro_batch = (model.repeated_gaps_s + waits) * change.micro_batches_ratio
    return per_micro_batch if change.new.accumulation > 1 else 0.0


def _describe(model: StepModel) -> Mapping[str, object]:
    spec = model.facts.spec.get("batch", {})
    return {"micro_batches": model.facts.micro_batches, "size": spec.get("micro_batch_size", 1)}


def _is_estimated(model: StepModel) -> bool:
    """Without a probe of the device, operations and arithmetic are told apart by typical speeds."""
    return model.explained is None or not model.explained.is_probed


def _get_evidence(model: StepModel, seconds: float) -> tuple[Evidence, ...]:
    rows = [Evidence("Micro-batches of a step", model.facts.micro_batches, "", "derived", "", "spec")]
    explained = model.explained
    if explained is not None:
        rows.append(
            Evidence(
                "Repeated with each micro-batch", explained.repeated_s, "s", "estimated", "",
                "forward and backward by the planner, less those of a single micro-batch; within the measured ones",
            )
        )  # fmt: skip
        rows.append(
            Evidence("Explained by the step model", explained.share, "share", "derived", "", "phase by phase")
        )
    if model.hand_over_s:
        rows.append(
            Evidence(
                "Waits between the turns of the stages", model.hand_over_s, "s", "derived", "",
                "idle time beyond (p - 1) / (m + p - 1)",
            )
        )  # fmt: skip
    return tuple(rows)


RULE = LossRule(
    id="dispatch",
    limit="compute",
    title="Small micro-batches",
    sentence=(
        "The fixed cost of {micro_batches} micro-batches of {size} takes {share} of each step: operations are launched "
        "for little arithmetic each."
    ),
    formula=(
        "forward and backward less those of a single micro-batch, gaps between kernels, and waits between the turns of "
        "pipeline stages"
    ),
    measure=_measure,
    predict=_predict,
    get_evidence=_get_evidence,
    describe=_describe,
    is_estimated=_is_estimated,
    remedies=(remedies.LARGER_MICRO_BATCH, remedies.LOWER_ZERO, remedies.FEWER_STAGES, remedies.FUSE),
    twin_edits=(spec_edits.double_micro_batch,),
    colour="series-7",
)
