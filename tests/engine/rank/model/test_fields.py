"""Random models over all fields: parameters, FLOPs, causality, recomputation, shards."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from engine.model_math import counts, flops
from engine.model_math.parameters import layer_parameters
from engine.rank.model.build import WholeModel, build_layer, get_layer_class
from engine.rank.model.loss import cross_entropy
from engine.rank.model.tensor_parallel import TensorShard, collect_splits
from engine.spec.model import Model, shortest_pattern
from engine.spec.spec import Spec
from tests.engine.rank.attempts import tiny
from tests.engine.rank.random_models import draw_model, objective_of
from tests.engine.rank.shapes import random_inputs

ALL = ("decoder", "decoder", "encoder", "encoder-decoder")


def spec_of(seed: int, families: tuple[str, ...] = ALL, **parts: Any) -> Spec:
    fields = draw_model(seed, families)
    return tiny(model=fields | parts.pop("model", {}), data={"objective": objective_of(fields)}, **parts)


@pytest.mark.parametrize("seed", range(40))
def test_every_layer_has_the_computed_parameters(seed: int) -> None:
    spec = spec_of(seed)
    for tensor in (1, 2):
        for index, kind in enumerate(counts.layer_kinds(spec)):
            with torch.device("meta"):
                layer = get_layer_class(spec, index)(spec, TensorShard(0, tensor))
            splits = collect_splits(layer)
            expected = {
                one.name: (one.size // (tensor if one.split_dim is not None else 1), one.split_dim)
                for one in layer_parameters(spec.model, spec.vocab_size, kind)
            }
            found = {
                name: (parameter.numel(), splits[name].dim if name in splits else None)
                for name, parameter in layer.named_parameters()
            }
            assert found == expected, kind
    assert sum(one.numel() for one in WholeModel(spec).parameters()) == counts.parameters(spec)


@pytest.mark.parametrize("seed", range(20))
def test_the_joined_shards_of_two_tensor_ranks_equal_the_whole_layer(seed: int) -> None:
    spec = spec_of(seed)
    for index in range(len(counts.layer_kinds(spec))):
        whole, shares = (
            build_layer(spec, index),
            [build_layer(spec, index, TensorShard(r, 2)) for r in (0, 1)],
        )
        splits = collect_splits(whole)
        for name, parameter in whole.named_parameters():
            parts = [share.get_parameter(name).detach() for share in shares]
            assert torch.equal(splits[name].join(parts) if name in splits else parts[0], parameter)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(12))
def test_flops_are_those_that_torch_counts(seed: int) -> None:
    spec = spec_of(seed, model={"context": 16}, batch={"global_batch_size": 2, "micro_batch_size": 2})
    ids = torch.randint(0, spec.vocab_size, (2, 16), generator=torch.Generator().manual_seed(seed))
    model = WholeModel(spec)
    with FlopCounterMode(display=False) as counter, nn.attention.sdpa_kernel(nn.attention.SDPBackend.MATH):
        out = model((ids, ids) if spec.model.family == "encoder-decoder" else ids)
        cross_entropy(out, ids).backward()
    assert counter.get_total_flops() == flops.palm_per_step(spec)
    assert flops.model_per_step(spec) <= flops.palm_per_step(spec)


@pytest.mark.parametrize("seed", range(20))
def test_no_position_sees_a_later_token_or_one_before_its_windows(seed: int) -> None:
    spec = spec_of(seed, ("decoder",))
    model, ids = WholeModel(spec).eval(), random_inputs(spec)
    changed = ids.clone()
    changed[0, 6] = (changed[0, 6] + 1) % 256
    difference = (model(ids) - model(changed))[0].abs().amax(-1)
    reach = 16
    if spec.model.window and spec.model.window_layers == "S":  # each layer reaches so many tokens further
        reach = 6 + spec.model.layers * (spec.model.window - 1) + 1
    assert not difference[:6].any()
    assert difference[6] > 0
    assert not difference[reach:].any()


@pytest.mark.parametrize("seed", range(12))
def test_recomputation_does_not_change_gradients(seed: int) -> None:
    gradients = []
    for recompute in ("none", "selective", "full"):
        spec = spec_of(seed, model={"dropout": 0.1}, parallel={"activation_checkpointing": recompute})
        model = WholeModel(spec)
        torch.manual_seed(5)
        model(random_inputs(spec)).square().sum().backward()
        gradients.append([one.grad for one in model.parameters()])
    for recomputed in gradients[1:]:
        for plain, again in zip(gradients[0], recomputed, strict=True):
            if isinstance(plain, Tensor) and isinstance(again, Tensor):
                torch.testing.assert_close(plain, again, rtol=0, atol=0)
            else:
                assert plain is again is None


def test_the_identity_of_a_model_leaves_out_what_has_no_effect() -> None:
    plain = Model()
    assert (
        plain.identity()
        == Model(head_dim=32, kv_heads=4, rope_base=5.0, rope_factor=3.0, dropout=0.5).identity()
    )
    assert plain.identity() != Model(context=64).identity(), "learned positions"
    rotary = Model(positions="rotary", rope_scaling="yarn", rope_factor=4.0)
    assert rotary.identity() == rotary.model_copy(update={"rope_low_factor": 2.0}).identity()
    assert rotary.identity() != rotary.model_copy(update={"rope_factor": 2.0}).identity()
    windows = Model(layers=4, window=8, window_layers="SF")
    assert windows.identity() == windows.model_copy(update={"window_layers": "SFSF"}).identity()
    assert windows.identity() != windows.model_copy(update={"window_layers": "S"}).identity()


@pytest.mark.parametrize(
    ("flags", "pattern"), [("SSSS", "S"), ("SFSFS", "SF"), ("SSF", "SSF"), ("F", "F"), ("FFS", "FFS")]
)
def test_a_pattern_of_layers_is_the_shortest_that_repeats(flags: str, pattern: str) -> None:
    assert shortest_pattern(flags) == pattern
