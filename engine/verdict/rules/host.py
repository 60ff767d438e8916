"""Host overhead: host work outside the phases of the model."""

from __future__ import annotations

from engine.verdict import remedies, spec_edits
from engine.verdict.evidence import get_rank_evidence
from engine.verdict.results import Evidence
from engine.verdict.rule import LossRule
from engine.verdict.spec_change import SpecChange
from engine.verdict.step_model import StepModel


def _measure(model: StepModel, taken_s: float) -> float:
    return model.host_s


def _predict(seconds: float, change: SpecChange) -> float:
    """Once a step, whatever its size; gaps between phases with each micro-batch."""
    gaps = min(seconds, change.model.get_mean("host_gap_s"))
    return seconds - gaps + gaps * change.micro_batches_ratio


def _get_evidence(model: StepModel, seconds: float) -> tuple[Evidence, ...]:
    return get_rank_evidence(model.facts, {"other_s": "Outside the phases", "host_gap_s": "Host gaps"})


RULE = LossRule(
    id="host",
    limit="compute",
    title="Host overhead",
    sentence="Host work outside the model's own phases takes {share} of each step.",
    formula="other_s (and host_gap_s where measured), mean over the ranks",
    measure=_measure,
    predict=_predict,
    get_evidence=_get_evidence,
    remedies=(remedies.ACCUMULATE, remedies.LARGER_MICRO_BATCH),
    twin_edits=(spec_edits.double_global_batch,),
    is_stretched_by_others=True,
    colour="series-8",
)
