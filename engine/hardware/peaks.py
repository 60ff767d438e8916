"""Rows of the table of peaks by the device names of drivers.

A name is cut into words. After the vendor's own words are removed, the rest must be exactly one of the forms listed for
a row. So a variant (Laptop GPU, Max-Q, Ti, SUPER, D, a vGPU profile such as A40-8Q) never gets the row of the device
that it is named after. A partition (MIG, or an AMD compute partition) gets its share of the board, never the board.
"""

from __future__ import annotations

import dataclasses
import re

from engine.hardware.peak_table import BY_NAME, LATENCY_S, PEAKS, Peak, Slice

__all__ = ["LATENCY_S", "PEAKS", "Peak", "find_named", "find_peak"]

VENDOR_WORDS = {"nvidia", "tesla", "quadro", "geforce", "amd", "instinct", "radeon", "corporation"}

# Row -> forms of the name as words, after the vendor's. NVML: nvidia-smi -L; AMD: rocm-smi and torch on ROCm.
FORMS: dict[str, tuple[str, ...]] = {
    "B300 SXM": ("b300", "b300 sxm", "b300 sxm ac"),
    "GB200": ("gb200",),
    "B200 SXM": ("b200", "b200 sxm"),
    "RTX 5090": ("rtx 5090",),
    "GH200": ("gh200", "gh200 480gb", "gh200 120gb", "gh200 96gb", "gh200 96gb hbm3"),  # 480 and 120: host memory
    "GH200 144": ("gh200 144g hbm3e", "gh200 144gb hbm3e", "gh200 144gb"),
    "H200 SXM": ("h200", "h200 sxm", "h200 141gb", "h200 141gb hbm3e", "h200 sxm 141gb"),
    "H200 NVL": ("h200 nvl",),
    "H100 SXM": ("h100 80gb hbm3", "h100 sxm", "h100 sxm 80gb", "h100 80gb sxm"),
    "H100 NVL": ("h100 nvl", "h100 nvl 94gb"),
    "H100 PCIe": ("h100 pcie", "h100 pcie 80gb", "h100 80gb pcie"),
    "H800 SXM": ("h800", "h800 sxm", "h800 sxm 80gb", "h800 80gb hbm3"),
    "H800 PCIe": ("h800 pcie", "h800 pcie 80gb", "h800 80gb pcie"),
    "H20": ("h20", "h20 96gb", "h20 sxm"),
    "L40S": ("l40s",),
    "L40": ("l40",),
    "L4": ("l4",),
    "RTX 6000 Ada": ("rtx 6000 ada generation", "rtx 6000 ada"),
    "RTX 4090": ("rtx 4090",),
    "A100 SXM 80": ("a100 sxm 80gb", "a100 80gb sxm"),
    "A100 SXM 40": ("a100 sxm 40gb", "a100 40gb sxm"),
    "A100 PCIe 80": ("a100 80gb pcie", "a100 pcie 80gb"),
    "A100 PCIe 40": ("a100 pcie 40gb", "a100 40gb pcie"),
    "A800 SXM 80": ("a800 sxm 80gb", "a800 80gb sxm"),
    "A800 PCIe 80": ("a800 80gb pcie", "a800 pcie 80gb"),
    "A30": ("a30",),
    "A40": ("a40",),
    "A10": ("a10",),
    "A10G": ("a10g",),
    "RTX A6000": ("rtx a6000",),
    "RTX 3090": ("rtx 3090",),
    "T4": ("t4",),
    "V100 SXM 32": ("v100 sxm 32gb", "v100 dgxs 32gb"),
    "V100 SXM 16": ("v100 sxm 16gb",),
    "V100 PCIe 32": ("v100 pcie 32gb",),
    "V100 PCIe 16": ("v100 pcie 16gb",),
    "V100S PCIe 32": ("v100s pcie 32gb",),
    "MI325X": ("mi325x", "mi325x oam"),
    "MI300X": ("mi300x", "mi300x oam", "mi300x vf"),
    "MI250X GCD": ("mi250x", "mi250x oam", "mi250x mi250", "mi250x oam mi250"),
}  # fmt: skip
_ROWS = {form: BY_NAME[name] for name, forms in FORMS.items() for form in forms}
assert FORMS.keys() == BY_NAME.keys(), "each row of the table of peaks has forms of its name"

# 1g.10gb, 1g.10gb+me (media engines), 1c.3g.40gb (one of three compute slices); '-me' excludes the media engines
MIG = re.compile(r"\bmig\s+(?:(\d)c\.)?(\d)g\.(\d+)gb(?:[+-]\w+)*\s*$")
# Compute partitions of CDNA 3 and number of partitions of the board; NPS is how memory is cut, and 1 by default.
AMD_PARTITIONS = {"spx": 1, "dpx": 2, "tpx": 3, "qpx": 4, "cpx": 8}


def find_peak(device_name: str) -> Peak | None:
    """Return the row for a device name as the driver reports it, or the share of a partition. None: not known."""
    name = device_name.strip().lower()
    if found := MIG.search(name):
        board = _ROWS.get(_get_form(name[: found.start()]))
        cut, slices, gigabytes = found.groups()
        return board and _mig_slice(board, int(slices), int(cut or slices), int(gigabytes))
    words = _get_form(name).split()
    partitions = [word for word in words if word in AMD_PARTITIONS]
    memory = [word for word in words if re.fullmatch(r"nps[1248]", word)]
    board = _ROWS.get(" ".join(word for word in words if word not in (*partitions, *memory)))
    if board is None or not (partitions or memory):
        return board
    return _amd_partition(board, partitions, memory)


def find_named(text: str) -> Peak | None:
    """Return the row that a person names: its name in the table, or a name as drivers report it."""
    wanted = " ".join(text.lower().split())
    return next((peak for peak in PEAKS if peak.name.lower() == wanted), None) or find_peak(text)


def _get_form(name: str) -> str:
    """The words of a name without the vendor's; SXM2 to SXM6 are one word, since the rows tell them apart."""
    words = [word for word in re.split(r"[\s\-_/()]+", name) if word]
    return " ".join(re.sub(r"^sxm\d$", "sxm", word) for word in words if word not in VENDOR_WORDS)


def _mig_slice(board: Peak, slices: int, cut: int, gigabytes: int) -> Peak | None:
    """A MIG instance: SMs by its compute slices, memory and bandwidth by its memory slices. None for a profile that the
    board does not have."""
    sms = board.sms_by_slices
    if slices not in sms or not 1 <= cut <= slices or slices == 0:
        return None
    memory_share = gigabytes * 1024**3 / board.memory_bytes
    parts = round(memory_share * board.memory_slices)
    # Profiles round the size down; more than half a slice away is another board's profile.
    if not 1 <= parts <= board.memory_slices or abs(parts - memory_share * board.memory_slices) > 0.5:
        return None
    prefix = f"{cut}c." if cut < slices else ""
    share = sms[slices] / sms[0] * cut / slices
    return _take_share(
        board, Slice(f"{prefix}{slices}g.{gigabytes}gb", share, parts / board.memory_slices), "MIG"
    )


def _amd_partition(board: Peak, partitions: list[str], memory: list[str]) -> Peak | None:
    if board.architecture != "cdna3" or len(partitions) != 1 or len(memory) > 1:
        return None
    count = AMD_PARTITIONS[partitions[0]]
    if count == 1:
        return board
    # In NPS1 every partition may address all memory, but all run at once, so each is given its share.
    return _take_share(board, Slice(partitions[0].upper(), 1 / count, 1 / count), "partition")


def _take_share(board: Peak, part: Slice, word: str) -> Peak:
    """Instances of a board share its power and its way to the host, and have no direct link to another device."""
    return dataclasses.replace(
        board,
        name=f"{board.name} {word} {part.profile}",
        tflops={dtype: rate * part.compute_share for dtype, rate in board.tflops.items()},
        memory_bytes=int(board.memory_bytes * part.memory_share),
        memory_bytes_per_s=board.memory_bytes_per_s * part.memory_share,
        power_limit_w=board.power_limit_w * part.compute_share,
        link="none",
        link_bytes_per_s=0.0,
        host_bytes_per_s=board.host_bytes_per_s * part.memory_share,
        network_bytes_per_s=board.network_bytes_per_s * part.memory_share,
        devices_per_node=1,
        sms_by_slices={},
        memory_slices=0,
        slice=part,
    )
