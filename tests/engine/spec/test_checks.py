"""Refusal of impossible specs: reasons and fixes."""

from __future__ import annotations

import ast
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any, get_args

import pytest

from engine.model_math.counts import parameters
from engine.spec import checks, training_rules
from engine.spec.checks import Hardware, refuse_impossible
from engine.spec.optimisers import OPTIMISERS, Need
from engine.spec.presets import PRESETS, preset
from engine.spec.spec import Problem, Spec, SpecError, nested, parse, with_changes

CPU2, GPU8 = Hardware("cpu", 2), Hardware("cuda", 8)

CASES: list[tuple[dict[str, Any], Hardware | None, str, str]] = [
    ({"model": {"heads": 3}}, None, "model.heads", "3 heads do not divide the width 128"),
    ({"model": {"positions": "rotary", "width": 36, "heads": 4}}, None, "model.positions", "here it has 9. Learned"),
    ({"model": {"kv_heads": 3}}, None, "model.kv_heads", "do not divide 4 heads; use 4."),
    ({"model": {"encoder_layers": 2}}, None, "model.encoder_layers", "Only an encoder-decoder"),
    ({"model": {"family": "encoder"}}, None, "model.family", "needs the family 'decoder'; the family 'encoder'"),
    ({"parallel": {"stages": 8, "data": 1}, "model": {"layers": 4}}, None, "parallel.stages", "the model has 4"),
    ({"parallel": {"stages": 2, "data": 1, "zero_stage": 2}}, None, "parallel.zero_stage", "DeepSpeed refuses it"),
    ({"parallel": {"stages": 2, "data": 1, "zero_stage": 3}}, None, "parallel.zero_stage", "Stage 1 works"),
    ({"parallel": {"tensor": 3, "data": 1}}, None, "parallel.tensor", "cannot split heads = 4 evenly; use 4."),
    ({"parallel": {"tensor": 4, "data": 1}, "model": {"kv_heads": 2}}, None, "parallel.tensor", "kv_heads = 2"),
    ({"parallel": {"tensor": 4, "data": 2}}, CPU2, "parallel.stages", "4 tensor x 1 stages = 8 ranks need 8"),
    ({"optimiser": {"name": "lbfgs"}}, None, "optimiser.name", "L-BFGS needs one rank, because its line search"),
    ({"optimiser": {"name": "lbfgs"}, "model": {"dropout": 0.1}}, None, "optimiser.name", "the same function"),
    ({"optimiser": {"name": "adafactor"}}, None, "optimiser.name", "Adafactor needs ZeRO 0"),
    (
        {"optimiser": {"name": "adafactor"}, "precision": {"dtype": "bf16"}, "parallel": {"zero_stage": 0}},
        None, "optimiser.name", "needs fp32, because DeepSpeed",
    ),
    ({"guard": {"spike_factor": 0.5}}, None, "guard.spike_factor", "it must be more than 1"),
    (
        {"guard": {"on_broken_step": "roll_back"}, "budget": {"checkpoint_every": 0}},
        None, "guard.on_broken_step", "no checkpoint to roll back to",
    ),
    ({"guard": {"patience": 3}, "budget": {"validate_every": 0}}, None, "guard.patience", "more than 3 validations"),
    ({"precision": {"dtype": "tf32"}}, CPU2, "precision.dtype", "tensor cores"),
    ({"parallel": {"offload_optimiser": "disk"}}, None, "parallel.offload_optimiser", "async_io"),
    ({"parallel": {"offload_optimiser": "host", "zero_stage": 0}}, None, "parallel.offload_optimiser", "is ZeRO 0"),
    ({"parallel": {"offload_parameters": "disk", "zero_stage": 3}}, None, "parallel.offload_parameters", "async_io"),
    ({"parallel": {"offload_parameters": "host"}}, None, "parallel.offload_parameters", "this is ZeRO 1"),
    ({"batch": {"global_batch_size": 17}}, None, "batch.global_batch_size", "8 x 2 = 16; 16 is"),
    ({"batch": {"global_batch_size": 3}}, None, "batch.global_batch_size", "16 is"),
    ({"budget": {"steps": 5}}, None, "optimiser.warmup_steps", "20 warm-up steps are more than the 5 steps"),
    ({"budget": {"keep_best": True, "validate_every": 0}}, None, "budget.keep_best", "every 20 steps"),
    ({"precision": {"dtype": "fp16"}}, CPU2, "precision.dtype", "does not support fp16 on CPU"),
    ({"parallel": {"data": 4}, "batch": {"global_batch_size": 32}}, CPU2, "parallel.data", "the largest node"),
    ({"parallel": {"stages": 4, "data": 1, "zero_stage": 1}}, CPU2, "parallel.stages", "4 stages = 4 ranks need 4"),
    (
        {"model": {"family": "encoder", "tied_embeddings": True}, "data": {"objective": "classes"}},
        None, "model.tied_embeddings", "cannot be tied to the token embedding",
    ),
    ({"kind": "fabric_test", "parallel": {"tensor": 2}}, None, "parallel.tensor", "no model to split into 2 parts"),
    ({"kind": "fabric_test", "parallel": {"data": 1}}, None, "parallel.data", "it needs at least two"),
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
def test_the_proposed_fix_works(values, hardware, field, words):
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


def test_every_sentence_of_the_rules_has_a_case(monkeypatch: pytest.MonkeyPatch):
    reported: set[tuple[str, int]] = set()

    def noting(*parts: Any) -> Problem:
        caller = sys._getframe(1)
        reported.add((caller.f_code.co_filename, caller.f_lineno))
        return Problem(*parts)

    for module in (checks, training_rules):
        monkeypatch.setattr(module, "Problem", noting)
    for values, hardware, _, _ in CASES:
        problems_of(values, hardware)
    assert reported == {place for module in (checks, training_rules) for place in sentences_of(module)}


def sentences_of(module: ModuleType) -> Iterator[tuple[str, int]]:
    """File and line of every problem that a module can report."""
    assert module.__file__
    for node in ast.walk(ast.parse(Path(module.__file__).read_text(encoding="utf-8"))):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "Problem":
            yield module.__file__, node.lineno


def value_outside(path: str, need: Need) -> Any:
    """A value of the field that does not meet the need: its default, or another one that the field accepts."""
    part, leaf = path.split(".")
    info = type(getattr(Spec(), part)).model_fields[leaf]
    for value in (info.default, *get_args(info.annotation), True, False, 2, 1, 0.1, 1.0):
        if value in need.allowed:
            continue
        try:
            parse(nested({path: value}))
        except SpecError:
            continue
        return value
    pytest.fail(f"every value of {path} meets the need")


@pytest.mark.parametrize(
    ("name", "path"), [(row.name, path) for row in OPTIMISERS.values() for path in row.needs]
)
def test_each_need_of_an_optimiser_has_its_own_reason_and_fix(name: str, path: str):
    needs = OPTIMISERS[name].needs
    met = {"optimiser.name": name} | {other: need.allowed[0] for other, need in needs.items()}
    refuse_impossible(parse(nested(met)))
    [problem] = problems_of(nested(met | {path: value_outside(path, needs[path])}), None)
    assert (problem.field, problem.fix) == ("optimiser.name", {path: needs[path].allowed[0]})
    assert needs[path].reason in problem.message


def test_all_broken_rules_are_reported_at_once():
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
