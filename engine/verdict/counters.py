"""Hardware counters of GPUs: their thresholds and their evidence rows.

SM 80 % is from NVIDIA's DCGM guide, tensor 50 % from KempnerPulse; DRAM 60 % and tensor 35 % are our own proposals,
not yet confirmed by injection on a GPU.
"""

from __future__ import annotations

from engine.verdict.facts import Facts
from engine.verdict.formatting import format_share
from engine.verdict.readings import get_mean
from engine.verdict.results import Evidence

SM_BUSY = 0.80
TENSOR_BUSY, TENSOR_IDLE = 0.50, 0.35
BANDWIDTH_BUSY = 0.60
USED_WELL = 0.60  # OFU or MFU over what matrix products reach on the device

SM, TENSOR, BANDWIDTH = "sm_active_share", "tensor_active_share", "memory_bandwidth_share"
OCCUPANCY = "sm_occupancy_share"  # says how many warps hide latencies; no limit by itself
METRICS = (SM, TENSOR, BANDWIDTH, OCCUPANCY)
# Metric -> title and threshold of its evidence row
ROWS = {
    SM: ("SMs active", f">= {format_share(SM_BUSY)}"),
    TENSOR: (
        "Tensor cores active",
        f"arithmetic >= {format_share(TENSOR_BUSY)}, memory < {format_share(TENSOR_IDLE)}",
    ),
    BANDWIDTH: ("Memory bandwidth", f">= {format_share(BANDWIDTH_BUSY)}"),
    OCCUPANCY: ("SM occupancy", ""),
}
FORMULA = "GPM, mean of the window"


def get_counter_evidence(facts: Facts) -> tuple[Evidence, ...]:
    """One row per counter, with the reason if no device reports it; then MFU and OFU if known."""
    rows = []
    for metric, (title, threshold) in ROWS.items():
        value = get_mean(facts, metric)
        if value is None:
            reasons = (device.missing[metric] for device in facts.devices if metric in device.missing)
            reason = next(reasons, "no device reports it")
            rows.append(Evidence(title, None, "share", "absent", threshold, FORMULA, reason))
        else:
            rows.append(Evidence(title, value, "share", "measured", threshold, FORMULA))
    for title, value, formula in (
        ("MFU", facts.mfu_share, "model FLOPs / (time x peak)"),
        ("OFU", facts.ofu_share, "tensor active x clock / reference clock"),
    ):
        if value is not None:
            rows.append(Evidence(title, value, "share", "derived", f">= {format_share(USED_WELL)}", formula))
    return tuple(rows)
