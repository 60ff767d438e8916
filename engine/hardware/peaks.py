"""Peak rates of known devices.

A device without a row has no peak; none is estimated from its name.
"""

from __future__ import annotations

import re
from dataclasses import dataclass


@dataclass(frozen=True)
class Peak:
    """One device: dense tensor TFLOP/s by dtype, memory size and bandwidth, board power limit in watts, and one-way
    link bandwidths to neighbours in the node, to the host, and its share of the node's network."""

    name: str  # marketing name
    match: tuple[str, ...]  # words that must all occur in the driver's device name
    tflops: dict[str, float]
    memory_bytes: int
    memory_bytes_per_s: float
    power_limit_w: float
    link: str  # between devices of a node: nvlink or pcie
    link_bytes_per_s: float
    host_bytes_per_s: float
    network_bytes_per_s: float
    # Clock at which the peaks are quoted: peak / (number of SMs x FLOPs per SM and clock)
    reference_clock_hz: float | None
    source: str
    date: str = "2026-11"


GIB = 1024**3
_WHITEPAPER = "vendor data sheet, dense (not sparse), fp32 accumulate"
# Latency of a message as NCCL reports it. Published figures vary by a factor of two.
LATENCY_S = {"nvlink": 6e-6, "pcie": 10e-6, "network": 20e-6}
_HOPPER = {"fp32": 67, "tf32": 494.7, "bf16": 989.4, "fp16": 989.4}
_AMPERE = {"fp32": 19.5, "tf32": 156, "bf16": 312, "fp16": 312}

# The first row whose words all match applies, so narrower names come before wider ones.
PEAKS: tuple[Peak, ...] = (
    Peak("B200 SXM", ("b200",), {"fp32": 80, "tf32": 1125, "bf16": 2250, "fp16": 2250}, 180 * GIB, 8.0e12, 1000,
         "nvlink", 900e9, 63e9, 50e9, None, _WHITEPAPER),
    Peak("H200 SXM", ("h200",), _HOPPER, 141 * GIB, 4.8e12, 700, "nvlink", 450e9, 63e9, 50e9, 1.83e9, _WHITEPAPER),
    Peak("H100 PCIe", ("h100", "pcie"), {"fp32": 51, "tf32": 378, "bf16": 756, "fp16": 756}, 80 * GIB, 2.0e12, 350,
         "pcie", 63e9, 63e9, 25e9, 1.62e9, _WHITEPAPER),
    Peak("H100 SXM", ("h100", "80gb", "hbm3"), _HOPPER, 80 * GIB, 3.35e12, 700,
         "nvlink", 450e9, 63e9, 50e9, 1.83e9, _WHITEPAPER),
    Peak("A100 PCIe 80", ("a100", "pcie", "80gb"), _AMPERE, 80 * GIB, 1.935e12, 300,
         "pcie", 31e9, 31e9, 12.5e9, 1.41e9, _WHITEPAPER),
    Peak("A100 SXM 80", ("a100", "80gb"), _AMPERE, 80 * GIB, 2.039e12, 400,
         "nvlink", 300e9, 31e9, 25e9, 1.41e9, _WHITEPAPER),
    Peak("A100 40", ("a100", "40gb"), _AMPERE, 40 * GIB, 1.555e12, 400,
         "nvlink", 300e9, 31e9, 25e9, 1.41e9, _WHITEPAPER),
    Peak("A10G", ("a10g",), {"fp32": 35, "tf32": 35, "bf16": 70, "fp16": 70}, 24 * GIB, 0.6e12, 300,
         "pcie", 31e9, 31e9, 3e9, None, _WHITEPAPER),
    Peak("L40S", ("l40s",), {"fp32": 91.6, "tf32": 183, "bf16": 362, "fp16": 362}, 48 * GIB, 0.864e12, 350,
         "pcie", 31e9, 31e9, 12.5e9, 2.52e9, _WHITEPAPER),
    Peak("L4", ("l4",), {"fp32": 30.3, "tf32": 60, "bf16": 121, "fp16": 121}, 24 * GIB, 0.3e12, 72,
         "pcie", 31e9, 31e9, 3e9, 2.04e9, _WHITEPAPER),
    Peak("RTX 4090", ("4090",), {"fp32": 82.6, "tf32": 82.6, "bf16": 165.2, "fp16": 165.2}, 24 * GIB, 1.008e12, 450,
         "pcie", 15e9, 31e9, 1.2e9, 2.52e9, _WHITEPAPER),  # no peer-to-peer access: every byte crosses the host
    Peak("T4", ("t4",), {"fp32": 8.1, "fp16": 65}, 16 * GIB, 0.32e12, 70,
         "pcie", 16e9, 16e9, 3e9, 1.59e9, _WHITEPAPER),
    Peak("V100 SXM2", ("v100", "sxm2"), {"fp32": 15.7, "fp16": 125}, 32 * GIB, 0.9e12, 300,
         "nvlink", 150e9, 16e9, 6.25e9, 1.53e9, _WHITEPAPER),
)  # fmt: skip


# Variants slower than the device they are named after: without a row of their own they have no peak.
OTHER_VARIANTS = {"laptop", "nvl", "d", "max", "q"}


def find_peak(device_name: str) -> Peak | None:
    """Return the row for a device name as the driver reports it. None: MFU is not available."""
    words = set(re.split(r"[\s-]+", device_name.lower()))
    if words & OTHER_VARIANTS:
        return None
    return next((peak for peak in PEAKS if words.issuperset(peak.match)), None)
