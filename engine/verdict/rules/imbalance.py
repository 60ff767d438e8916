"""Imbalance: ranks or stages that wait for a slower one."""

from __future__ import annotations

from collections.abc import Mapping

from engine.verdict import remedies
from engine.verdict.formatting import format_share
from engine.verdict.remedies import Remedy
from engine.verdict.results import Evidence
from engine.verdict.rule import LossRule
from engine.verdict.spec_change import SpecChange
from engine.verdict.step_model import StepModel

PERSISTENT = 0.6  # share of the steps in which one rank is the slowest, so that the sentence names it
NOTICEABLE_RATIO = 1.02


def _measure(model: StepModel, taken_s: float) -> float:
    return float((model.fed_time - model.balanced_time).mean())


def _predict(seconds: float, change: SpecChange) -> float:
    """Stages cannot differ once there is only one."""
    if change.old.parallel.stages > 1 and change.new.parallel.stages == 1:
        return 0.0
    return seconds * change.local_ratio


def _get_removal_factor(model: StepModel) -> float:
    """The share is that of evenly shared work. A slow rank that becomes as fast as the others saves more."""
    slowest = model.slowest
    if slowest is None or slowest.steps_share < PERSISTENT:
        return 1.0
    n = model.facts.stages if model.is_pipeline else len(model.facts.ranks)
    return n / (n - 1)


def _get_stages_part(model: StepModel) -> float:
    """Evenly shared work: what the share is of. Ranks without stages have nothing to balance."""
    return 1 / _get_removal_factor(model) if model.is_pipeline else 0.0


def _describe(model: StepModel) -> Mapping[str, object]:
    slowest = model.slowest
    if slowest is None or slowest.ratio <= NOTICEABLE_RATIO or slowest.steps_share < PERSISTENT:
        return {"who": ", not always the same one"}
    return {"who": f": {slowest.kind} {slowest.number} takes {slowest.ratio:.2f} x the mean time"}


def _get_evidence(model: StepModel, seconds: float) -> tuple[Evidence, ...]:
    slowest = model.slowest
    if slowest is None:
        return ()
    return (
        Evidence(
            f"{slowest.kind.capitalize()} {slowest.number} over the mean", slowest.ratio, "", "derived", "",
            f"max / mean of {slowest.kind} times, data wait left out",
        ),
        Evidence(
            "Steps in which it is the slowest", slowest.steps_share, "share", "derived",
            f">= {format_share(PERSISTENT)} to be named", "",
        ),
    )  # fmt: skip


RULE = LossRule(
    id="imbalance",
    limit="compute",
    title="Imbalance",
    sentence="Ranks wait {share} of each step for a slower one{who}.",
    formula="step - step in which every rank (stage) takes the mean time of all, data wait left out",
    measure=_measure,
    predict=_predict,
    get_evidence=_get_evidence,
    describe=_describe,
    removal_factor=_get_removal_factor,
    remedies=(
        Remedy(
            "other_devices", "Look at the slow rank's device",
            "A busy host, a throttled or a faulty device makes all other ranks wait.",
            removes=1.0,
        ),
        Remedy(
            "balance_stages", "Balance the stages",
            "The first stage also has the embedding, the last one the head: a smaller vocabulary or a number of layers "
            "that divides evenly helps.",
            removes=_get_stages_part,
        ),
        remedies.FEWER_STAGES,
    ),
    no_twin_reason="no field of a spec changes how fast one rank is",
    is_stretched_by_others=True,
    colour="series-6",
)  # fmt: skip
