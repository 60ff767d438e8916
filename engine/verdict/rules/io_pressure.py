"""Disk pressure: ranks that wait for a disk outside their data loading."""

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

HALF = 0.5  # of the waits, with a disk twice as fast


def _measure(model: StepModel, taken_s: float) -> float | None:
    return measure_pressure(model, stolen.DISK)


def _get_evidence(model: StepModel, seconds: float) -> tuple[Evidence, ...]:
    return get_pressure_evidence(model, stolen.DISK, "IO pressure", "PSI io some")


def _is_uncertain(model: StepModel) -> bool:
    """Swapping waits for the disk too."""
    return is_pressure_uncertain(model) or not all(
        stolen.MEMORY in device.means for device in model.facts.devices
    )


RULE = LossRule(
    id="io_pressure",
    limit="bandwidth",
    title="Disk pressure",
    sentence="Waiting for a disk takes {share} of each step, beside the wait for data.",
    formula=(
        "step - step in which each rank's local time is shorter by io_pressure_share without memory pressure and data "
        "wait, at most by the time in which it used no core"
    ),
    measure=_measure,
    predict=predict_pressure,
    get_evidence=_get_evidence,
    is_estimated=_is_uncertain,
    remedies=(
        Remedy(
            "faster_disk", "Faster or quieter disk",
            "Local storage instead of a network folder, and no other work that writes to the same disk. Predicted: a "
            "disk twice as fast.",
            removes=HALF,
        ),
        Remedy(
            "fewer_writes", "Write less often",
            "Checkpoints, logs and traces of this run go to the disk too: larger intervals write less.",
        ),
    ),
    no_twin_reason="no field of a spec makes a disk faster",
    colour="series-11",
)  # fmt: skip
