"""Communication: transfers that no computation hides."""

from __future__ import annotations

from engine.verdict import remedies, spec_edits
from engine.verdict.evidence import get_device_evidence, get_rank_evidence
from engine.verdict.explained import predict_faster_link
from engine.verdict.remedies import Remedy
from engine.verdict.results import Evidence
from engine.verdict.rule import LOSS_METRICS, LossRule
from engine.verdict.spec_change import SpecChange
from engine.verdict.step_model import StepModel

LINKS = {
    "nvlink_tx_bytes_per_s": "NVLink sent", "nvlink_rx_bytes_per_s": "NVLink received",
    "network_tx_bytes_per_s": "Network sent", "network_rx_bytes_per_s": "Network received",
}  # fmt: skip


def _measure(model: StepModel, taken_s: float) -> float:
    """A pipeline that does not record its bubble records it as communication."""
    if model.is_pipeline and not model.has_bubble_phase:
        return max(0.0, float((model.facts.step_s - model.recorded_time).mean()))
    return model.transfer_s


def _predict(seconds: float, change: SpecChange) -> float:
    return change.new_transfer_s


def _get_faster_link_part(model: StepModel) -> float:
    """With links twice as fast. Ranks on the cores of one host have none between them."""
    hosts = {device.host for device in model.facts.devices}
    is_one_host = model.facts.on_cpu and len(hosts) == 1 and hosts != {""}
    if model.explained is None or model.transfer_s <= 0 or is_one_host:
        return 0.0
    return 1 - predict_faster_link(model.explained, model.facts.spec, model.transfer_s) / model.transfer_s


def _get_evidence(model: StepModel, seconds: float) -> tuple[Evidence, ...]:
    rows = list(get_rank_evidence(model.facts, {"communication_s": "In collectives"}))
    payloads = [rank.payload_bytes for rank in model.facts.ranks if rank.payload_bytes]
    if payloads:
        mean = sum(payloads) / len(payloads)
        rows.append(Evidence("Payload of a rank and step", mean, "bytes", "measured", "", "collective_bytes"))
        if seconds > 0:
            rate = mean / seconds
            rows.append(
                Evidence("Payload over exposed time", rate, "bytes_per_s", "derived", "", "payload / exposed")
            )
    for metric, title in LINKS.items():
        rows += get_device_evidence(model.facts.devices, title, metric, "bytes_per_s")
    return tuple(rows)


RULE = LossRule(
    id="communication",
    limit="bandwidth",
    title="Communication",
    sentence="Exposed communication takes {share} of each step.",
    formula=(
        "least communication_s over the ranks, step by step; pipelines: what stages and bubble leave of the step"
    ),
    measure=_measure,
    predict=_predict,
    get_evidence=_get_evidence,
    device_metrics=(*LOSS_METRICS, *LINKS),
    remedies=(
        remedies.LOWER_ZERO,
        Remedy(
            "less_tensor", "Half the tensor parallel ranks",
            "Fewer reductions inside each layer, with copies of the model on the freed ranks, for more memory on each "
            "device.",
            spec_edits.halve_tensor_ranks,
        ),
        remedies.ACCUMULATE,
        remedies.TIE_EMBEDDINGS,
        remedies.LARGER_MICRO_BATCH,
        remedies.FEWER_STAGES,
        Remedy(
            "faster_link", "Faster link",
            "Put all ranks of the job on one node, or use a faster network between nodes. A prediction assumes links "
            "twice as fast.",
            removes=_get_faster_link_part,
        ),
    ),
    twin_edits=(
        spec_edits.double_global_batch, spec_edits.lower_zero_stage, spec_edits.halve_tensor_ranks,
    ),
    is_stretched_by_others=True,
    colour="series-2",
    part_title="Exposed communication",
)  # fmt: skip
