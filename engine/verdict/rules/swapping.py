"""Swapping: ranks that wait for memory to be freed or read back."""

from __future__ import annotations

from engine.verdict import remedies, stolen
from engine.verdict.pressure import (
    get_pressure_evidence,
    is_pressure_uncertain,
    measure_pressure,
    predict_pressure,
)
from engine.verdict.remedies import Remedy
from engine.verdict.results import Evidence
from engine.verdict.rule import LossRule
from engine.verdict.step_model import StepModel


def _measure(model: StepModel, taken_s: float) -> float | None:
    return measure_pressure(model, stolen.MEMORY)


def _get_evidence(model: StepModel, seconds: float) -> tuple[Evidence, ...]:
    return get_pressure_evidence(model, stolen.MEMORY, "Memory pressure", "PSI memory some")


RULE = LossRule(
    id="swapping",
    limit="memory",
    title="Swapping",
    sentence="Waiting for memory to be freed or read back from disk takes {share} of each step.",
    formula=(
        "step - step in which each rank's local time is shorter by memory_pressure_share, at most by the time in which "
        "it used no core"
    ),
    measure=_measure,
    predict=predict_pressure,
    get_evidence=_get_evidence,
    is_estimated=is_pressure_uncertain,
    remedies=(
        Remedy(
            "more_memory", "More memory for the host",
            "Move the run to a host with more free memory, or raise the memory limit of the agent's control group.",
            removes=1.0,
        ),
        Remedy(
            "stop_neighbours", "Stop other work on the host",
            "What other processes hold is not there for the ranks.",
        ),
        remedies.SMALLER_MICRO_BATCH,
        remedies.HIGHER_ZERO,
        remedies.RECOMPUTE,
        remedies.TIE_EMBEDDINGS,
    ),
    no_twin_reason="no field of a spec adds memory to a host",
    colour="series-10",
)  # fmt: skip
