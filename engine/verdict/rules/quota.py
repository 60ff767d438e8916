"""CPU quota: ranks stopped because their control group has used up its share."""

from __future__ import annotations

from engine.verdict import stolen
from engine.verdict.pressure import (
    get_pressure_evidence,
    measure_pressure,
    predict_pressure,
)
from engine.verdict.remedies import Remedy
from engine.verdict.results import Evidence
from engine.verdict.rule import LossRule
from engine.verdict.step_model import StepModel


def _measure(model: StepModel, taken_s: float) -> float | None:
    return measure_pressure(model, stolen.QUOTA)


def _get_evidence(model: StepModel, seconds: float) -> tuple[Evidence, ...]:
    return get_pressure_evidence(model, stolen.QUOTA, "Quota used up", "cpu.stat of the control group")


RULE = LossRule(
    id="quota",
    limit="compute",
    title="CPU quota",
    sentence="The CPU quota of the ranks' control group is used up, which stops them for {share} of each step.",
    formula="step - step in which each rank's local time is shorter by its cpu_throttle_share",
    measure=_measure,
    predict=predict_pressure,
    get_evidence=_get_evidence,
    remedies=(
        Remedy(
            "raise_quota", "Raise the CPU quota",
            "The container or service that runs the agent has a CPU limit below what its ranks use: raise it.",
            removes=1.0,
        ),
        Remedy(
            "fewer_threads", "Fewer ranks or threads",
            "As many threads as the quota has cores: more of them only use it up sooner in each period.",
        ),
    ),
    no_twin_reason="no field of a spec changes a CPU quota",
    colour="series-9",
)  # fmt: skip
