"""Optimiser: an update that dominates the step, on the device or offloaded."""

from __future__ import annotations

from collections.abc import Mapping

from engine.verdict import remedies, spec_edits
from engine.verdict.evidence import get_device_evidence, get_rank_evidence
from engine.verdict.remedies import Remedy
from engine.verdict.results import Evidence
from engine.verdict.rule import LOSS_METRICS, LossRule
from engine.verdict.spec_change import SpecChange
from engine.verdict.step_model import DOMINANT_UPDATE, StepModel
from engine.verdict.thresholds import NOTABLE

PCIE = {"pcie_tx_bytes_per_s": "PCIe to host", "pcie_rx_bytes_per_s": "PCIe from host"}


def _measure(model: StepModel, taken_s: float) -> float | None:
    return model.update_loss_s or None


def _predict(seconds: float, change: SpecChange) -> float:
    return change.new_optimiser_s


def _describe(model: StepModel) -> Mapping[str, object]:
    place = model.facts.spec.get("parallel", {}).get("offload_optimiser", "none")
    return {"where": "" if place == "none" else f", offloaded to the {place},"}


def _get_evidence(model: StepModel, seconds: float) -> tuple[Evidence, ...]:
    """With the transfers of an offloaded update."""
    rows = list(get_rank_evidence(model.facts, {"optimiser_s": "Update"}))
    if model.is_offloaded:
        for metric, title in PCIE.items():
            rows += get_device_evidence(model.facts.devices, title, metric, "bytes_per_s")
    return tuple(rows)


RULE = LossRule(
    id="optimiser",
    limit="memory",
    title="Optimiser",
    sentence="The optimiser's update{where} takes {share} of each step.",
    formula=(
        f"optimiser_s, mean over the ranks, from {DOMINANT_UPDATE:.0%} of the step; where it is offloaded from "
        f"{NOTABLE:.0%}"
    ),
    measure=_measure,
    predict=_predict,
    get_evidence=_get_evidence,
    device_metrics=(*LOSS_METRICS, *PCIE),
    describe=_describe,
    remedies=(
        Remedy(
            "no_offload", "Keep the optimiser on the device",
            "No transfers to the host and no update on its cores, for more memory on each device.",
            spec_edits.keep_optimiser_on_device,
        ),
        remedies.ACCUMULATE,
        remedies.HIGHER_ZERO,
        remedies.TIE_EMBEDDINGS,
    ),
    twin_edits=(spec_edits.double_global_batch, spec_edits.keep_optimiser_on_device),
    colour="series-5",
)  # fmt: skip
