"""Counts are exact; memory falls as each technique promises; nothing is said of a device without a capacity."""

from __future__ import annotations

from typing import Any

import pytest

from engine import arithmetic
from engine.hardware import peak_of
from engine.planner import plan
from engine.presets import preset
from engine.spec import Spec, parse


def planned(**parts: Any):
    return plan(parse(parts))


def test_parameters_of_gpt_2_with_an_untied_head_are_exact():
    """124,439,808 of GPT-2 small, plus its head once more (768 x 50,257), at this preset's vocabulary of 50,304."""
    spec = preset("124m")
    assert arithmetic.parameters(spec) == 124_439_808 + 768 * (50_304 - 50_257) + 768 * 50_304


def test_stages_hold_all_layers_once():
    spec = parse({"model": {"layers": 7}, "parallel": {"stages": 3, "data": 1}})
    bounds = arithmetic.stage_bounds(spec)
    assert bounds == [(0, 4), (4, 6), (6, 10)]
    assert sum(arithmetic.stage_parameters(spec)) == arithmetic.parameters(spec)


def test_flops_are_six_per_matrix_weight_and_token_plus_causal_attention():
    spec = parse({"model": {"layers": 1, "width": 64, "ffn_width": 256, "context": 32, "heads": 4}})
    weights = 4 * 64 * 64 + 2 * 64 * 256 + 64 * 2048
    assert arithmetic.flops_per_token(spec) == pytest.approx(6 * weights + 3 * 4 * 64 * (32 + 1) / 2)


@pytest.mark.parametrize(
    ("zero_stage", "bytes_per_parameter"), [(0, 16), (1, 4 + 4 + 8 / 4), (2, 4 + 1 + 2), (3, 16 / 4)]
)
def test_model_states_in_fp32_shrink_by_zero_stage(zero_stage: int, bytes_per_parameter: float):
    """4 + 4 + 8 bytes a parameter with Adam in fp32, shared over four ranks as the ZeRO paper has it."""
    spec = parse({"parallel": {"data": 4, "zero_stage": zero_stage}, "batch": {"global_batch_size": 32}})
    [stage] = plan(spec).stages
    states = stage.parameters_bytes + stage.gradients_bytes + stage.optimiser_bytes
    assert states == pytest.approx(bytes_per_parameter * arithmetic.parameters(spec))


def test_sixteen_bit_training_keeps_an_fp32_master_copy():
    [stage] = plan(Spec(), dtype="bf16").stages
    assert stage.optimiser_bytes == arithmetic.parameters(Spec()) * 12 / 2  # ZeRO 1 on two ranks


def test_recomputing_saves_activations():
    deep = {"layers": 24}
    whole = planned(model=deep).peak
    recomputed = planned(model=deep, parallel={"activation_checkpointing": "full"}).peak
    assert recomputed.activations_bytes < whole.activations_bytes / 8
    assert recomputed.parameters_bytes == whole.parameters_bytes


def test_the_first_stage_holds_the_activations_of_most_micro_batches():
    spec = {"data": 1, "stages": 4}
    stages = planned(parallel=spec, model={"layers": 8}, batch={"global_batch_size": 64}).stages
    assert [s.activations_bytes / stages[3].activations_bytes for s in stages] == [4, 3, 2, 1]
    assert [bool(s.logits_bytes) for s in stages] == [False, False, False, True]


def test_fits_has_three_answers_and_one_for_the_unknown():
    whole = plan(Spec())
    peak = whole.peak.total_bytes
    answers = [whole.fits(capacity) for capacity in (peak / 0.79, peak / 0.9, peak / 0.99, None)]
    assert answers == ["fits", "tight", "will not fit", "unknown"]


@pytest.mark.parametrize(
    ("device", "tflops"),
    [
        ("NVIDIA H200", 989.4),
        ("NVIDIA H100 80GB HBM3", 989.4),
        ("NVIDIA H100 PCIe", 756),
        ("NVIDIA A100-SXM4-80GB", 312),
        ("NVIDIA A100-PCIE-40GB", 312),
        ("NVIDIA L40S", 362),
        ("NVIDIA L4", 121),
        ("NVIDIA GeForce RTX 4090", 165.2),
    ],
)
def test_a_known_device_has_its_dense_peak(device: str, tflops: float):
    peak = peak_of(device)
    assert peak and peak.tflops["bf16"] == tflops


@pytest.mark.parametrize(
    "device",
    [
        "NVIDIA GeForce RTX 9990",
        "NVIDIA GeForce RTX 4090 Laptop GPU",
        "NVIDIA H100 NVL",
        "AMD EPYC 7763",
        "NVIDIA L400",
        "",
    ],
)
def test_an_unknown_device_has_no_peak(device: str):
    assert peak_of(device) is None
