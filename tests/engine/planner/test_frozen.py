"""Planned activations and counts of frozen layers with adapters, against the layers themselves."""

from __future__ import annotations

import random
from typing import Any
from unittest import mock

import pytest
import torch

from engine.model_math import counts
from engine.model_math.adapters import adapter_parameters, trained_parameters
from engine.planner import frozen, plan
from engine.planner.activations import stage_shapes
from engine.rank.bench.trace_constants import _record_saved_tensors, _select_sublayer
from engine.rank.model import tensor_parallel
from engine.rank.model.adapters import attach_adapters
from engine.rank.model.blocks import CrossBlock, DecoderBlock, EncoderBlock
from engine.rank.model.build import build_layer
from engine.spec.parts import Adapter
from engine.spec.spec import Spec, parse

SEED, CASES = 20261204, 40
SUBLAYERS = {
    "attention": DecoderBlock, "masked_attention": EncoderBlock, "cross_attention": CrossBlock,
    "feed_forward": DecoderBlock,
}  # fmt: skip
PATTERNS = [
    "*", "*.query", "*.value, *.output", "*.query_key_value", "*attention.key, *.up", "feed_forward.*", "*.down",
    "*.output", "*.gate, *.query",
]  # fmt: skip


def draw(rng: random.Random) -> tuple[Spec, str, int]:
    heads, size, ranks = rng.choice((2, 4)), rng.choice((8, 16)), rng.choice((1, 1, 2))
    model: dict[str, Any] = {
        "width": heads * size, "heads": heads, "kv_heads": rng.choice((None, 2)), "ffn_width": rng.choice((48, 72)),
        "context": 32, "norm": rng.choice(("layernorm", "rmsnorm")), "feed_forward": rng.choice(("gelu", "swiglu")),
        "positions": rng.choice(("learned", "rotary")), "biases": rng.random() < 0.5, "layers": rng.choice((2, 3)),
        "tied_embeddings": rng.random() < 0.5,
    }  # fmt: skip
    adapter = {
        "rank": rng.choice((1, 3, 8)),
        "targets": rng.choice(PATTERNS),
        "dropout": rng.choice((0.0, 0.0, 0.1)),
    }
    spec = parse(
        {"model": model, "adapter": adapter, "start_from": "x", "parallel": {"data": 1, "tensor": ranks}}
    )
    return spec, rng.choice(list(SUBLAYERS)), ranks


def saved_bytes(spec: Spec, sublayer: str, dtype: torch.dtype, ranks: int) -> float:
    """Return the bytes per token that autograd saves in one sublayer."""
    sizes = []
    for count in (1, 2):
        with mock.patch.object(tensor_parallel.comm, "all_reduce", lambda *_, **__: None):
            shard = tensor_parallel.TensorShard(0, ranks)
            block = SUBLAYERS[sublayer](spec, shard)
            attach_adapters(spec, 1, block, shard)
            run = _select_sublayer(block.to(dtype).train(), sublayer)
            shape = (count, spec.model.context, spec.model.width)
            x, source = (torch.randn(shape, dtype=dtype, requires_grad=True) for _ in range(2))
            keys = torch.ones(count, 1, 1, spec.model.context, dtype=torch.bool)
            weights = {p.untyped_storage().data_ptr() for p in block.parameters()}
            with _record_saved_tensors(weights) as held:
                run(x, source, keys)
        sizes.append(sum(storage.nbytes() for storage in held.values()))
    return (sizes[1] - sizes[0]) / spec.model.context


@pytest.mark.parametrize("index", range(CASES))
def test_saved_activations_of_a_frozen_sublayer(index: int) -> None:
    spec, sublayer, ranks = draw(random.Random(SEED + index))
    family = {"masked_attention": "encoder", "cross_attention": "encoder-decoder"}.get(sublayer, "decoder")
    spec = spec.model_copy(update={"model": spec.model.model_copy(update={"family": family})})
    layer = 1 + spec.model.num_encoder_layers + 1 if family == "encoder-decoder" else 1
    trained = spec.model_copy(update={"adapter": Adapter()})
    for dtype, value in ((torch.float32, 4), (torch.bfloat16, 2)):
        measured = saved_bytes(spec, sublayer, dtype, ranks) - saved_bytes(trained, sublayer, dtype, ranks)
        changed = frozen.changed_bytes(spec, layer, sublayer, value, on_cuda=False)
        assert changed == pytest.approx(measured, abs=0.01), (sublayer, spec.adapter, spec.model)


@pytest.mark.parametrize("index", range(CASES))
def test_parameters_that_are_trained_and_frozen(index: int) -> None:
    rng = random.Random(SEED + 1000 + index)
    spec, _, ranks = draw(rng)
    objective = rng.choice(("next_token", "classes"))
    if objective == "classes":
        model = spec.model.model_copy(update={"family": "encoder", "tied_embeddings": False})
        data = spec.data.model_copy(update={"objective": "classes"})
        spec = spec.model_copy(update={"model": model, "data": data})
    shard = tensor_parallel.TensorShard(0, ranks)
    layers = [build_layer(spec, layer, shard) for layer in range(len(counts.layer_kinds(spec)))]
    if counts.is_tied(spec):
        layers[-1].weight = layers[0].token.weight
    parameters = {id(p): p for layer in layers for p in layer.parameters()}.values()
    (shape,) = stage_shapes(spec)
    assert shape.trained == sum(p.numel() for p in parameters if p.requires_grad)
    assert shape.parameters == sum(p.numel() for p in parameters)


def test_a_plan_counts_what_is_trained_apart() -> None:
    spec = parse({"adapter": {"rank": 8}, "start_from": "x"})
    plain = spec.model_copy(update={"adapter": Adapter()})
    adapted, whole = plan(spec), plan(plain)
    assert whole.num_trained is None
    assert adapted.num_trained == trained_parameters(spec) == adapter_parameters(spec)
    assert adapted.num_parameters == whole.num_parameters
    assert adapted.peak.optimiser_bytes < 0.2 * whole.peak.optimiser_bytes
    assert adapted.flops_per_step < 0.75 * whole.flops_per_step
