"""Contention: other processes that take the cores of the ranks."""

from __future__ import annotations

from engine.verdict import stolen
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
    return measure_pressure(model, stolen.CORES)


def _get_evidence(model: StepModel, seconds: float) -> tuple[Evidence, ...]:
    return get_pressure_evidence(model, stolen.CORES, "CPU pressure", "PSI cpu some")


RULE = LossRule(
    id="contention",
    limit="compute",
    title="Contention",
    sentence="Other work on the host takes the cores from the ranks for {share} of each step.",
    formula=(
        "where PSI cpu is above 20 %: local time in which a rank used no core, at most the pressure; and time in "
        "collectives beyond twice what the link takes for the payload"
    ),
    measure=_measure,
    predict=predict_pressure,
    get_evidence=_get_evidence,
    is_estimated=is_pressure_uncertain,
    remedies=(
        Remedy(
            "pin_cores", "Pin the ranks to cores of their own",
            "A CPU set for the agent, or fewer devices on the host than it has free cores.",
            removes=1.0,
        ),
        Remedy(
            "quiet_host", "Move the run to a quieter host",
            "Or let the other work run at another time or at a lower priority.",
            removes=1.0,
        ),
    ),
    no_twin_reason="no field of a spec frees cores of a host",
    colour="series-12",
)  # fmt: skip
