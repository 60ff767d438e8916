"""Input: waiting for the next batch."""

from __future__ import annotations

from engine.verdict.evidence import get_device_evidence, get_rank_evidence
from engine.verdict.remedies import Remedy
from engine.verdict.results import Evidence
from engine.verdict.rule import LOSS_METRICS, LossRule
from engine.verdict.spec_change import SpecChange
from engine.verdict.step_model import StepModel

RECEIVED = "network_rx_bytes_per_s"


def _measure(model: StepModel, taken_s: float) -> float:
    """One waiting rank delays all others, so the mean over the ranks would be too low."""
    return float((model.waiting_time - model.fed_time).mean())


def _predict(seconds: float, change: SpecChange) -> float:
    return seconds * change.sequences_ratio


def _get_evidence(model: StepModel, seconds: float) -> tuple[Evidence, ...]:
    """With what comes over the network: data may be on another machine."""
    waits = get_rank_evidence(model.facts, {"data_wait_s": "Data wait"})
    return (*waits, *get_device_evidence(model.facts.devices, "Network received", RECEIVED, "bytes_per_s"))


RULE = LossRule(
    id="input",
    limit="compute",
    title="Input",
    sentence="Waiting for the next batch takes {share} of each step.",
    formula="step - step with data_wait_s = 0 on every rank, slowest rank each time",
    measure=_measure,
    predict=_predict,
    get_evidence=_get_evidence,
    device_metrics=(*LOSS_METRICS, RECEIVED),
    remedies=(
        Remedy(
            "faster_data", "Feed it faster",
            "Faster storage, more readers, or text that is tokenised before the run.",
            removes=1.0,
        ),
    ),
    no_twin_reason="no field of a spec changes how fast batches come",
    colour="series-4",
)  # fmt: skip
