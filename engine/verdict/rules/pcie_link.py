"""Slow PCIe link: fewer lanes or a lower generation than GPU and slot allow."""

from __future__ import annotations

from engine.verdict.evidence import get_device_evidence
from engine.verdict.facts import DeviceFacts, Facts
from engine.verdict.formatting import format_share
from engine.verdict.remedies import Remedy
from engine.verdict.results import Evidence
from engine.verdict.rule import Observation, StateRule

SHARE, SENT, RECEIVED = "pcie_link_share", "pcie_tx_bytes_per_s", "pcie_rx_bytes_per_s"
FULL = 0.95  # of the best rate; steps between generations and widths are a factor of two
BUSY_PCT = 10.0  # a link slows down while its GPU is idle


def _find_slow(facts: Facts) -> list[DeviceFacts]:
    """Devices whose link was never at its best, although they had work."""
    return [
        device
        for device in facts.devices
        if device.peaks.get(SHARE, 1.0) < FULL and device.means.get("utilisation_pct", 100.0) >= BUSY_PCT
    ]


def _detect(facts: Facts) -> Observation | None:
    slow = _find_slow(facts)
    if not slow:
        return None
    worst = min(slow, key=lambda device: device.peaks[SHARE])
    others = f", and those of {len(slow) - 1} more" if len(slow) > 1 else ""
    text = f"The PCIe link of device {worst.title} runs at {format_share(worst.peaks[SHARE])} of its best rate{others}."
    return Observation(text, "notable")


def _get_evidence(facts: Facts) -> tuple[Evidence, ...]:
    slow = _find_slow(facts)
    threshold = f"< {format_share(FULL)}"
    return (
        *get_device_evidence(slow, "Best rate of the link", SHARE, "share", threshold, of_peak=True),
        *get_device_evidence(slow, "Sent to the host", SENT, "bytes_per_s"),
        *get_device_evidence(slow, "Received from the host", RECEIVED, "bytes_per_s"),
    )


RULE = StateRule(
    id="pcie_link",
    limit="bandwidth",
    title="Slow PCIe link",
    sentence="{text} What goes over it (offloading, data, ranks without NVLink) takes longer by as much.",
    formula=f"highest rate of the link in this run / best rate of GPU and slot < {format_share(FULL)}",
    detect=_detect,
    get_evidence=_get_evidence,
    device_metrics=("utilisation_pct", SENT, RECEIVED),
    peak_metrics=(SHARE,),
    remedies=(
        Remedy(
            "full_link", "Give the GPU its full link",
            "An admin checks the slot (x16, connected to the CPU), riser or cable, and the PCIe generation in the "
            "firmware settings. `nvidia-smi -q` shows generation and width, current and maximum.",
        ),
    ),
)  # fmt: skip
