"""Device names of drivers against the table of peaks: variants, partitions, spellings."""

from __future__ import annotations

import random

import pytest

from engine.hardware.peak_table import BY_NAME, PEAKS
from engine.hardware.peaks import find_named, find_peak

SEED = 20261130
# Names as NVML, rocm-smi and torch report them, with the row that each has; None: no row may answer.
DRIVER_NAMES: dict[str, str | None] = {
    "NVIDIA B200": "B200 SXM",
    "NVIDIA GB200": "GB200",
    "NVIDIA B300 SXM6 AC": "B300 SXM",
    "NVIDIA GeForce RTX 5090": "RTX 5090",
    "NVIDIA GeForce RTX 5090 D": None,
    "NVIDIA GeForce RTX 5090 Laptop GPU": None,
    "NVIDIA GH200 480GB": "GH200",
    "NVIDIA GH200 144G HBM3e": "GH200 144",
    "NVIDIA H200": "H200 SXM",
    "NVIDIA H200 NVL": "H200 NVL",
    "NVIDIA H100 80GB HBM3": "H100 SXM",
    "NVIDIA H100 NVL": "H100 NVL",
    "NVIDIA H100 PCIe": "H100 PCIe",
    "NVIDIA H800": "H800 SXM",
    "NVIDIA H800 PCIe": "H800 PCIe",
    "NVIDIA H20": "H20",
    "NVIDIA L40S": "L40S",
    "NVIDIA L40": "L40",
    "NVIDIA L40G": None,
    "NVIDIA L4": "L4",
    "NVIDIA L400": None,
    "NVIDIA RTX 6000 Ada Generation": "RTX 6000 Ada",
    "NVIDIA RTX 5000 Ada Generation": None,
    "Quadro RTX 6000": None,
    "Quadro RTX 6000 with Max-Q Design": None,
    "NVIDIA RTX PRO 6000 Blackwell Server Edition": None,
    "NVIDIA GeForce RTX 4090": "RTX 4090",
    "NVIDIA GeForce RTX 4090 D": None,
    "NVIDIA GeForce RTX 4090 Laptop GPU": None,
    "NVIDIA A100-SXM4-80GB": "A100 SXM 80",
    "NVIDIA A100-SXM4-40GB": "A100 SXM 40",
    "A100-SXM4-40GB": "A100 SXM 40",
    "NVIDIA A100 80GB PCIe": "A100 PCIe 80",
    "NVIDIA A100-PCIE-40GB": "A100 PCIe 40",
    "NVIDIA A100-SXM-64GB": None,
    "NVIDIA A100X": None,
    "NVIDIA A800-SXM4-80GB": "A800 SXM 80",
    "NVIDIA A800 80GB PCIe": "A800 PCIe 80",
    "NVIDIA A800 40GB Active": None,
    "NVIDIA A30": "A30",
    "NVIDIA A40": "A40",
    "NVIDIA A40-8Q": None,
    "NVIDIA A10": "A10",
    "NVIDIA A10G": "A10G",
    "NVIDIA A16": None,
    "NVIDIA RTX A6000": "RTX A6000",
    "NVIDIA RTX A6000 Laptop GPU": None,
    "NVIDIA RTX A600": None,
    "NVIDIA GeForce RTX 3090": "RTX 3090",
    "GeForce RTX 3090": "RTX 3090",
    "NVIDIA GeForce RTX 3090 Ti": None,
    "Tesla T4": "T4",
    "NVIDIA T400": None,
    "NVIDIA T4G": None,
    "GRID T4-16Q": None,
    "Tesla V100-SXM2-16GB": "V100 SXM 16",
    "Tesla V100-SXM2-32GB": "V100 SXM 32",
    "Tesla V100-SXM3-32GB": "V100 SXM 32",
    "Tesla V100-PCIE-16GB": "V100 PCIe 16",
    "Tesla V100-PCIE-32GB": "V100 PCIe 32",
    "Tesla V100S-PCIE-32GB": "V100S PCIe 32",
    "Tesla V100-FHHL-16GB": None,
    "GRID V100D-32C": None,
    "AMD Instinct MI325X": "MI325X",
    "AMD Instinct MI300X": "MI300X",
    "AMD Instinct MI300X OAM": "MI300X",
    "AMD Instinct MI300A": None,
    "AMD Instinct MI250X": "MI250X GCD",
    "AMD Instinct MI250X/MI250": "MI250X GCD",
    "AMD Instinct MI210": None,
    "AMD EPYC 7763 64-Core Processor": None,
    "": None,
}  # fmt: skip
# MIG profiles of the user guide: board -> profile -> (SMs of all SMs, memory slices of all)
MIG_PROFILES = {
    "NVIDIA A100-SXM4-40GB": {"1g.5gb": (14 / 108, 1 / 8), "2g.10gb": (28 / 108, 2 / 8), "3g.20gb": (42 / 108, 4 / 8),
                              "4g.20gb": (56 / 108, 4 / 8), "7g.40gb": (98 / 108, 8 / 8), "1g.10gb": (14 / 108, 2 / 8)},
    "NVIDIA A100 80GB PCIe": {"1g.10gb": (14 / 108, 1 / 8), "3g.40gb": (42 / 108, 4 / 8), "7g.80gb": (98 / 108, 1)},
    "NVIDIA A30": {"1g.6gb": (14 / 56, 1 / 4), "2g.12gb": (28 / 56, 2 / 4), "4g.24gb": (1, 1)},
    "NVIDIA H100 80GB HBM3": {"1g.10gb": (16 / 132, 1 / 8), "1g.20gb": (16 / 132, 2 / 8), "3g.40gb": (60 / 132, 4 / 8),
                              "7g.80gb": (1, 1), "1c.3g.40gb": (20 / 132, 4 / 8), "1g.10gb+me": (16 / 132, 1 / 8)},
    "NVIDIA H100 NVL": {"1g.12gb": (16 / 132, 1 / 8), "3g.47gb": (60 / 132, 4 / 8)},
    "NVIDIA H200": {"1g.18gb": (16 / 132, 1 / 8), "2g.35gb": (32 / 132, 2 / 8), "7g.141gb": (1, 1)},
    "NVIDIA B200": {"1g.23gb": (18 / 148, 1 / 8), "3g.90gb": (70 / 148, 4 / 8)},
}  # fmt: skip
VARIANTS = (
    "Laptop GPU",
    "with Max-Q Design",
    "Max-Q",
    "Ti",
    "SUPER",
    "D",
    "8Q",
    "Mobile",
    "Engineering Sample",
)


@pytest.mark.parametrize(("name", "row"), DRIVER_NAMES.items())
def test_a_name_of_a_driver_has_its_row_or_none(name: str, row: str | None):
    found = find_peak(name)
    assert (found.name if found else None) == row


def known_names() -> list[tuple[str, str]]:
    return [(name, row) for name, row in DRIVER_NAMES.items() if row]


def test_spellings_of_a_known_name_have_the_same_row():
    rng, cases = random.Random(SEED), 0
    for name, row in known_names():
        for _ in range(12):
            words = name.replace("-", " ").split()
            spelled = rng.choice((" ", "-", "  ", "_")).join(words)
            spelled = rng.choice((str.upper, str.lower, str.title, str))(spelled)
            if not spelled.lower().startswith(("nvidia", "amd")):
                spelled = rng.choice(("NVIDIA ", "")) + spelled
            found, cases = find_peak(f"  {spelled} "), cases + 1
            assert found and found.name == row, spelled
    assert cases >= 400


def test_a_variant_never_gets_the_row_it_is_named_after():
    rng, cases = random.Random(SEED + 1), 0
    for name, _ in known_names():
        for variant in rng.sample(VARIANTS, 6):
            for text in (f"{name} {variant}", f"{name}-{variant}"):
                assert find_peak(text) is None, text
                cases += 1
    assert cases >= 400


@pytest.mark.parametrize("board", MIG_PROFILES)
def test_a_mig_instance_has_its_slice(board: str):
    whole = find_peak(board)
    assert whole is not None
    for profile, (compute, memory) in MIG_PROFILES[board].items():
        part = find_peak(f"{board} MIG {profile}")
        assert part is not None, profile
        assert part.tflops["bf16"] == pytest.approx(whole.tflops["bf16"] * compute)
        assert part.memory_bytes == pytest.approx(whole.memory_bytes * memory, rel=1e-6)
        assert part.memory_bytes_per_s == pytest.approx(whole.memory_bytes_per_s * memory)
        assert part.link == "none" and part.devices_per_node == 1 and part.slice is not None


@pytest.mark.parametrize(
    "name",
    [
        "NVIDIA A100-SXM4-80GB MIG 5g.50gb",
        "NVIDIA A100-SXM4-80GB MIG 1g.5gb",
        "NVIDIA A100-SXM4-80GB MIG 2c.1g.10gb",
        "NVIDIA A30 MIG 7g.24gb",
        "NVIDIA L40S MIG 1g.6gb",
        "NVIDIA GeForce RTX 4090 Laptop GPU MIG 1g.3gb",
        "Unknown MIG 1g.10gb",
        "MIG 1g.10gb",
        "NVIDIA A100-SXM4-80GB MIG",
    ],
)
def test_a_profile_that_the_board_does_not_have_is_unknown(name: str):
    assert find_peak(name) is None


@pytest.mark.parametrize(("mode", "count"), [("SPX", 1), ("DPX", 2), ("QPX", 4), ("CPX", 8), ("CPX NPS4", 8)])
def test_a_partition_of_an_amd_board_has_its_share(mode: str, count: int):
    whole, part = find_peak("AMD Instinct MI300X"), find_peak(f"AMD Instinct MI300X {mode}")
    assert whole and part
    assert part.memory_bytes == whole.memory_bytes // count
    assert part.tflops["bf16"] == pytest.approx(whole.tflops["bf16"] / count)


def test_a_device_on_pci_express_has_no_nvlink():
    for peak in PEAKS:
        if "PCIe" in peak.name or "NVL" in peak.name.split():
            assert peak.link == "pcie" and peak.link_bytes_per_s <= 63e9, peak.name


def test_every_row_has_a_source_and_plausible_figures():
    for peak in PEAKS:
        assert peak.source and "fp32" in peak.tflops and "fp16" in peak.tflops
        assert 1e11 < peak.memory_bytes_per_s < 1e13 and 10e9 < peak.memory_bytes < 400e9
        if peak.tflops.get("bf16"):
            assert peak.tflops["bf16"] == peak.tflops["fp16"] >= peak.tflops["fp32"]
        # Data sheets of one generation lie between 5 and 400 FLOP per byte of memory traffic.
        assert 5 < peak.tflops["fp16"] * 1e12 / peak.memory_bytes_per_s < 450, peak.name


def test_people_may_name_a_row_or_a_device():
    for name in BY_NAME:
        found = find_named(name.lower())
        assert found is not None and found.name == name
    assert find_named("h100 80gb hbm3") is BY_NAME["H100 SXM"]
    assert find_named("a faster one") is None
