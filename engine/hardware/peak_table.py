"""Data sheet rates of known devices.

A device without a row has no peak; none is estimated from its name. Sources are the vendors' data sheets, product
briefs and architecture white papers named in each row; docs/planning.md lists what is rounded. Rates are dense (without
sparsity). engine.hardware.peaks finds the row of a device name.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

LinkKind = Literal["nvlink", "fabric", "pcie", "none"]  # fabric: AMD Infinity Fabric; none: no peer access
Architecture = Literal["volta", "turing", "ampere", "ada", "hopper", "blackwell", "cdna2", "cdna3"]

GIB = 1024**3
# Latency of a message as NCCL reports it. Published figures vary by a factor of two.
LATENCY_S = {"nvlink": 6e-6, "fabric": 10e-6, "pcie": 10e-6, "none": 20e-6, "network": 20e-6}


@dataclass(frozen=True)
class Slice:
    """Share of a partitioned device that one instance has."""

    profile: str  # such as 1g.10gb or CPX
    compute_share: float
    memory_share: float  # of bandwidth and links


@dataclass(frozen=True)
class Peak:
    """One device, or one partition of it: dense tensor TFLOP/s by dtype, memory size and bandwidth, board power limit
    in watts, and one-way link bandwidths to neighbours in the node, to the host, and its share of the node's network.
    Link and network are those of the vendor's usual server; a name does not tell whether a bridge is fitted."""

    name: str  # marketing name
    architecture: Architecture
    tflops: dict[str, float]
    memory_bytes: int
    memory_bytes_per_s: float
    power_limit_w: float
    link: LinkKind
    link_bytes_per_s: float
    host_bytes_per_s: float
    network_bytes_per_s: float
    source: str
    devices_per_node: int = 8
    # Clock at which the peaks are quoted: peak / (number of SMs x FLOPs per SM and clock)
    reference_clock_hz: float | None = None
    sms_by_slices: dict[int, int] = field(
        default_factory=dict
    )  # MIG: compute slices -> SMs; 0: the whole device
    memory_slices: int = 0  # MIG: number of equal memory slices; 0: MIG is not supported
    slice: Slice | None = None  # None: the whole device
    date: str = "2026-11"


# MIG user guide: SMs of an instance by its compute slices.
_MIG_A100 = {0: 108, 1: 14, 2: 28, 3: 42, 4: 56, 7: 98}
_MIG_A30 = {0: 56, 1: 14, 2: 28, 4: 56}
_MIG_H100 = {0: 132, 1: 16, 2: 32, 3: 60, 4: 64, 7: 132}
_MIG_H100_PCIE = {0: 114, 1: 16, 2: 32, 3: 46, 4: 60, 7: 114}
_MIG_B200 = {0: 148, 1: 18, 2: 36, 3: 70, 4: 72, 7: 148}

_VOLTA_SXM, _VOLTA_PCIE = {"fp32": 15.7, "fp16": 125.0}, {"fp32": 14.0, "fp16": 112.0}
_A100 = {"fp32": 19.5, "tf32": 156.0, "bf16": 312.0, "fp16": 312.0}
_H100 = {"fp32": 67.0, "tf32": 494.7, "bf16": 989.4, "fp16": 989.4}
_H100_PCIE = {"fp32": 51.0, "tf32": 378.0, "bf16": 756.0, "fp16": 756.0}
_H100_NVL = {"fp32": 60.0, "tf32": 417.5, "bf16": 835.0, "fp16": 835.0}
_B200 = {"fp32": 75.0, "tf32": 1125.0, "bf16": 2250.0, "fp16": 2250.0}
_GB200 = {"fp32": 80.0, "tf32": 1250.0, "bf16": 2500.0, "fp16": 2500.0}
_MI300 = {"fp32": 163.4, "tf32": 653.7, "bf16": 1307.4, "fp16": 1307.4}
_PCIE3, _PCIE4, _PCIE5 = 16e9, 31e9, 63e9


def _formats(fp32: float, tf32: float, sixteen: float) -> dict[str, float]:
    return {"fp32": fp32, "tf32": tf32, "bf16": sixteen, "fp16": sixteen}


def _card(
    name: str, architecture: Architecture, tflops: dict[str, float], gib: int, gb_per_s: float, watts: float,
    host: float, source: str, clock_hz: float | None = None, network: float = 3e9,
) -> Peak:  # fmt: skip
    """A device on PCI Express without bridge."""
    return Peak(name, architecture, tflops, gib * GIB, gb_per_s * 1e9, watts, "pcie", host, host, network, source,
                reference_clock_hz=clock_hz)  # fmt: skip


PEAKS: tuple[Peak, ...] = (
    # Blackwell
    Peak("B300 SXM", "blackwell", _B200, 268 * GIB, 8.0e12, 1100, "nvlink", 900e9, _PCIE5, 100e9,
         "NVIDIA HGX B300 data sheet"),
    Peak("GB200", "blackwell", _GB200, 184 * GIB, 8.0e12, 1200, "nvlink", 900e9, 450e9, 50e9,
         "NVIDIA GB200 NVL72 data sheet", devices_per_node=4),
    Peak("B200 SXM", "blackwell", _B200, 179 * GIB, 8.0e12, 1000, "nvlink", 900e9, _PCIE5, 50e9,
         "NVIDIA HGX B200 data sheet", sms_by_slices=_MIG_B200, memory_slices=8),
    _card("RTX 5090", "blackwell", _formats(104.8, 104.8, 209.5), 32, 1792, 575, _PCIE5,
          "NVIDIA RTX Blackwell architecture white paper", 2.41e9, 1.2e9),
    # Hopper
    Peak("GH200", "hopper", _H100, 96 * GIB, 4.0e12, 900, "nvlink", 450e9, 450e9, 50e9,
         "NVIDIA GH200 data sheet", 1, 1.83e9, _MIG_H100, 8),
    Peak("GH200 144", "hopper", _H100, 141 * GIB, 4.9e12, 900, "nvlink", 450e9, 450e9, 50e9,
         "NVIDIA GH200 data sheet", 1, 1.83e9, _MIG_H100, 8),
    Peak("H200 SXM", "hopper", _H100, 141 * GIB, 4.8e12, 700, "nvlink", 450e9, _PCIE5, 50e9,
         "NVIDIA H200 data sheet", 8, 1.83e9, _MIG_H100, 8),
    Peak("H200 NVL", "hopper", _H100_NVL, 141 * GIB, 4.8e12, 600, "pcie", _PCIE5, _PCIE5, 25e9,
         "NVIDIA H200 data sheet", 8, 1.55e9, _MIG_H100, 8),
    Peak("H100 SXM", "hopper", _H100, 80 * GIB, 3.35e12, 700, "nvlink", 450e9, _PCIE5, 50e9,
         "NVIDIA H100 data sheet", 8, 1.83e9, _MIG_H100, 8),
    Peak("H100 NVL", "hopper", _H100_NVL, 94 * GIB, 3.9e12, 400, "pcie", _PCIE5, _PCIE5, 25e9,
         "NVIDIA H100 data sheet", 8, 1.55e9, _MIG_H100, 8),
    Peak("H100 PCIe", "hopper", _H100_PCIE, 80 * GIB, 2.0e12, 350, "pcie", _PCIE5, _PCIE5, 25e9,
         "NVIDIA H100 PCIe product brief", 8, 1.62e9, _MIG_H100_PCIE, 8),
    Peak("H800 SXM", "hopper", _H100, 80 * GIB, 3.35e12, 700, "nvlink", 200e9, _PCIE5, 50e9,
         "NVIDIA H800 data sheet", 8, 1.83e9, _MIG_H100, 8),
    Peak("H800 PCIe", "hopper", _H100_PCIE, 80 * GIB, 2.0e12, 350, "pcie", _PCIE5, _PCIE5, 25e9,
         "NVIDIA H800 data sheet", 8, 1.62e9, _MIG_H100_PCIE, 8),
    Peak("H20", "hopper", _formats(44.0, 74.0, 148.0), 96 * GIB, 4.0e12, 400, "nvlink", 450e9, _PCIE5, 50e9,
         "NVIDIA H20 product brief"),
    # Ada
    _card("L40S", "ada", _formats(91.6, 183.0, 362.0), 48, 864, 350, _PCIE4, "NVIDIA L40S data sheet",
          2.52e9, 12.5e9),
    _card("L40", "ada", _formats(90.5, 90.5, 181.0), 48, 864, 300, _PCIE4, "NVIDIA L40 data sheet",
          2.49e9, 12.5e9),
    _card("L4", "ada", _formats(30.3, 60.0, 121.0), 24, 300, 72, _PCIE4, "NVIDIA L4 data sheet", 2.04e9),
    _card("RTX 6000 Ada", "ada", _formats(91.1, 182.1, 364.2), 48, 960, 300, _PCIE4,
          "NVIDIA RTX 6000 Ada data sheet", 2.505e9),
    # GeForce cards have no peer-to-peer access: every byte crosses the host, which halves the bandwidth.
    Peak("RTX 4090", "ada", _formats(82.6, 82.6, 165.2), 24 * GIB, 1.008e12, 450, "pcie", 15e9, _PCIE4, 1.2e9,
         "NVIDIA Ada architecture white paper", reference_clock_hz=2.52e9),
    # Ampere
    Peak("A100 SXM 80", "ampere", _A100, 80 * GIB, 2.039e12, 400, "nvlink", 300e9, _PCIE4, 25e9,
         "NVIDIA A100 data sheet", 8, 1.41e9, _MIG_A100, 8),
    Peak("A100 SXM 40", "ampere", _A100, 40 * GIB, 1.555e12, 400, "nvlink", 300e9, _PCIE4, 25e9,
         "NVIDIA A100 data sheet", 8, 1.41e9, _MIG_A100, 8),
    Peak("A100 PCIe 80", "ampere", _A100, 80 * GIB, 1.935e12, 300, "pcie", _PCIE4, _PCIE4, 12.5e9,
         "NVIDIA A100 data sheet", 8, 1.41e9, _MIG_A100, 8),
    Peak("A100 PCIe 40", "ampere", _A100, 40 * GIB, 1.555e12, 250, "pcie", _PCIE4, _PCIE4, 12.5e9,
         "NVIDIA A100 PCIe product brief", 8, 1.41e9, _MIG_A100, 8),
    Peak("A800 SXM 80", "ampere", _A100, 80 * GIB, 2.039e12, 400, "nvlink", 200e9, _PCIE4, 25e9,
         "NVIDIA A800 data sheet", 8, 1.41e9, _MIG_A100, 8),
    Peak("A800 PCIe 80", "ampere", _A100, 80 * GIB, 1.935e12, 300, "pcie", _PCIE4, _PCIE4, 12.5e9,
         "NVIDIA A800 data sheet", 8, 1.41e9, _MIG_A100, 8),
    Peak("A30", "ampere", _formats(10.3, 82.0, 165.0), 24 * GIB, 0.933e12, 165, "pcie", _PCIE4, _PCIE4, 12.5e9,
         "NVIDIA A30 data sheet", 8, 1.44e9, _MIG_A30, 4),
    _card("A40", "ampere", _formats(37.4, 74.8, 149.7), 48, 696, 300, _PCIE4, "NVIDIA A40 data sheet",
          1.74e9, 12.5e9),
    _card("A10", "ampere", _formats(31.2, 62.5, 125.0), 24, 600, 150, _PCIE4, "NVIDIA A10 data sheet", 1.695e9),
    _card("A10G", "ampere", _formats(35.0, 35.0, 70.0), 24, 600, 300, _PCIE4,
          "AWS G5 instance documentation, NVIDIA A10G"),
    _card("RTX A6000", "ampere", _formats(38.7, 77.4, 154.8), 48, 768, 300, _PCIE4, "NVIDIA RTX A6000 data sheet",
          1.8e9),
    Peak("RTX 3090", "ampere", _formats(35.6, 35.6, 71.0), 24 * GIB, 0.936e12, 350, "pcie", 15e9, _PCIE4, 1.2e9,
         "NVIDIA Ampere GA102 architecture white paper", reference_clock_hz=1.695e9),
    # Turing and Volta
    _card("T4", "turing", {"fp32": 8.1, "fp16": 65.0}, 16, 320, 70, _PCIE3, "NVIDIA T4 data sheet", 1.59e9),
    Peak("V100 SXM 32", "volta", _VOLTA_SXM, 32 * GIB, 0.9e12, 300, "nvlink", 150e9, _PCIE3, 6.25e9,
         "NVIDIA V100 data sheet", reference_clock_hz=1.53e9),
    Peak("V100 SXM 16", "volta", _VOLTA_SXM, 16 * GIB, 0.9e12, 300, "nvlink", 150e9, _PCIE3, 6.25e9,
         "NVIDIA V100 data sheet", reference_clock_hz=1.53e9),
    _card("V100 PCIe 32", "volta", _VOLTA_PCIE, 32, 900, 250, _PCIE3, "NVIDIA V100 data sheet", 1.38e9),
    _card("V100 PCIe 16", "volta", _VOLTA_PCIE, 16, 900, 250, _PCIE3, "NVIDIA V100 data sheet", 1.38e9),
    _card("V100S PCIe 32", "volta", {"fp32": 16.4, "fp16": 130.0}, 32, 1134, 250, _PCIE3,
          "NVIDIA V100 data sheet", 1.597e9),
    # AMD. An MI250X board is two devices (GCDs) for the driver; the row is one of them.
    Peak("MI325X", "cdna3", _MI300, 256 * GIB, 6.0e12, 1000, "fabric", 448e9, _PCIE5, 50e9,
         "AMD Instinct MI325X data sheet", reference_clock_hz=2.1e9),
    Peak("MI300X", "cdna3", _MI300, 192 * GIB, 5.3e12, 750, "fabric", 448e9, _PCIE5, 50e9,
         "AMD Instinct MI300X data sheet", reference_clock_hz=2.1e9),
    Peak("MI250X GCD", "cdna2", {"fp32": 47.9, "bf16": 191.5, "fp16": 191.5}, 64 * GIB, 1.6e12, 280, "fabric", 50e9,
         36e9, 12.5e9, "AMD Instinct MI250X data sheet, half of the board", reference_clock_hz=1.7e9),
)  # fmt: skip

BY_NAME = {peak.name: peak for peak in PEAKS}
