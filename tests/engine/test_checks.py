"""Impossible combinations: refused with the reason, and the proposed fix really works."""

from __future__ import annotations

import json
from typing import Any

import pytest

from engine.arithmetic import parameters
from engine.checks import Hardware, refuse_impossible
from engine.presets import PRESETS, preset
from engine.spec import Problem, SpecError, parse, with_changes

CPU2, GPU8 = Hardware("cpu", 2), Hardware("cuda", 8)

CASES: list[tuple[dict[str, Any], Hardware | None, str, str]] = [
    ({"model": {"heads": 3}}, None, "model.heads", "3 heads do not divide the width 128"),
    ({"model": {"positions": "rotary", "width": 36, "heads": 4}}, None, "model.positions", "a head has 9 of them"),
    ({"model": {"kv_heads": 3}}, None, "model.kv_heads", "shared evenly by 4 heads; 4 can"),
    ({"model": {"encoder_layers": 2}}, None, "model.encoder_layers", "Only an encoder-decoder"),
    ({"model": {"family": "encoder"}}, None, "model.family", "is learned by the family 'decoder', not by 'encoder'"),
    ({"parallel": {"stages": 8, "data": 1}, "model": {"layers": 4}}, None, "parallel.stages", "the model has 4"),
    ({"parallel": {"stages": 2, "data": 1, "zero_stage": 2}}, None, "parallel.zero_stage", "DeepSpeed refuses it"),
    ({"parallel": {"stages": 2, "data": 1, "zero_stage": 3}}, None, "parallel.zero_stage", "Stage 1 works"),
    ({"parallel": {"tensor": 3, "data": 1}}, None, "parallel.tensor", "cannot share heads = 4 evenly; 4 can"),
    ({"parallel": {"tensor": 4, "data": 1}, "model": {"kv_heads": 2}}, None, "parallel.tensor", "kv_heads = 2"),
    ({"parallel": {"tensor": 4, "data": 2}}, CPU2, "parallel.stages", "4 tensor x 1 stages = 8 ranks need 8"),
    ({"optimiser": {"name": "lbfgs"}}, None, "optimiser.name", "L-BFGS needs one rank, since its line search"),
    ({"optimiser": {"name": "lbfgs"}, "model": {"dropout": 0.1}}, None, "optimiser.name", "another function"),
    ({"optimiser": {"name": "adafactor"}}, None, "optimiser.name", "Adafactor needs ZeRO 0"),
    (
        {"optimiser": {"name": "adafactor"}, "precision": {"dtype": "bf16"}, "parallel": {"zero_stage": 0}},
        None, "optimiser.name", "needs fp32, since DeepSpeed",
    ),
    ({"guard": {"spike_factor": 0.5}}, None, "guard.spike_factor", "it must be more than 1"),
    (
        {"guard": {"on_broken_step": "roll_back"}, "budget": {"checkpoint_every": 0}},
        None, "guard.on_broken_step", "no checkpoint to go back to",
    ),
    ({"guard": {"patience": 3}, "budget": {"validate_every": 0}}, None, "guard.patience", "wait for 3 validations"),
    ({"precision": {"dtype": "tf32"}}, CPU2, "precision.dtype", "tensor cores"),
    ({"parallel": {"offload_optimiser": "disk"}}, None, "parallel.offload_optimiser", "async_io"),
    ({"parallel": {"offload_optimiser": "host", "zero_stage": 0}}, None, "parallel.offload_optimiser", "ZeRO 0 cannot"),
    ({"parallel": {"offload_parameters": "disk", "zero_stage": 3}}, None, "parallel.offload_parameters", "async_io"),
    ({"parallel": {"offload_parameters": "host"}}, None, "parallel.offload_parameters", "this is ZeRO 1"),
    ({"batch": {"global_batch_size": 17}}, None, "batch.global_batch_size", "8 x 2 = 16; 16 is"),
    ({"batch": {"global_batch_size": 3}}, None, "batch.global_batch_size", "16 is"),
    ({"budget": {"steps": 5}}, None, "optimiser.warmup_steps", "20 warm-up steps are more than the 5 steps"),
    ({"budget": {"keep_best": True, "validate_every": 0}}, None, "budget.keep_best", "Every 20 steps would do"),
    ({"precision": {"dtype": "fp16"}}, CPU2, "precision.dtype", "fp16 is not supported on CPU"),
    ({"parallel": {"data": 4}, "batch": {"global_batch_size": 32}}, CPU2, "parallel.data", "the largest node"),
    ({"parallel": {"stages": 4, "data": 1, "zero_stage": 1}}, CPU2, "parallel.stages", "4 stages = 4 ranks need 4"),
]  # fmt: skip


def problems_of(values: dict[str, Any], hardware: Hardware | None) -> tuple[Problem, ...]:
    with pytest.raises(SpecError) as caught:
        refuse_impossible(parse(values), hardware)
    return caught.value.problems


@pytest.mark.parametrize(("values", "hardware", "field", "words"), CASES)
def test_it_refuses_with_the_reason_at_the_field(values, hardware, field, words):
    [problem] = problems_of(values, hardware)
    assert problem.field == field
    assert words in problem.message


@pytest.mark.parametrize(("values", "hardware", "field", "words"), CASES)
def test_the_proposed_fix_really_works(values, hardware, field, words):
    fixed = values
    for _ in range(3):  # one fix may uncover the next rule
        fixed = with_changes(
            fixed,
            [f"{path}={json.dumps(value)}" for path, value in problems_of(fixed, hardware)[0].fix.items()],
        )
        try:
            refuse_impossible(parse(fixed), hardware)
        except SpecError:
            continue
        return
    pytest.fail(f"no fix found for {values}: ended with {fixed}")


def test_several_broken_rules_are_all_told():
    fields = {p.field for p in problems_of({"model": {"heads": 3}, "batch": {"global_batch_size": 17}}, None)}
    assert fields == {"model.heads", "batch.global_batch_size"}


@pytest.mark.parametrize("name", PRESETS)
def test_every_preset_is_possible(name: str):
    refuse_impossible(preset(name))
    refuse_impossible(preset(name), GPU8)


def test_presets_reach_from_a_quarter_million_to_7_b_parameters():
    counts = [parameters(preset(name)) for name in PRESETS]
    assert 2e5 < min(counts) < 2e6
    assert 6.5e9 < max(counts) < 7.5e9
