"""FLOP formulas and block constants, compared with torch."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from engine.model_math import counts, flops
from engine.planner import constants
from engine.rank.bench import trace_constants
from engine.rank.model.build import WholeModel
from engine.rank.model.loss import cross_entropy
from engine.spec.spec import Spec, parse

pytestmark = pytest.mark.slow

MODEL = {"layers": 3, "width": 48, "heads": 4, "ffn_width": 96, "context": 16}
FAMILIES: dict[str, dict[str, Any]] = {
    "decoder": {},
    "decoder, gated and grouped": {"kv_heads": 2, "feed_forward": "swiglu", "norm": "rmsnorm", "positions": "rotary"},
    "decoder, tied, no biases": {"tied_embeddings": True, "biases": False},
    "encoder": {"family": "encoder"},
    "encoder of classes": {"family": "encoder", "classes": 7},
    "encoder-decoder": {"family": "encoder-decoder", "encoder_layers": 2},
}  # fmt: skip
OBJECTIVES = {"encoder": "masked", "encoder of classes": "classes", "encoder-decoder": "pairs"}


def spec_of(name: str) -> Spec:
    data = {"tokenizer": "bytes", "objective": OBJECTIVES.get(name, "next_token")}
    batch = {"global_batch_size": 2, "micro_batch_size": 2}
    return parse({"model": MODEL | FAMILIES[name], "data": data, "batch": batch, "parallel": {"data": 1}})


@pytest.mark.parametrize("name", FAMILIES)
def test_flops_are_those_that_torch_counts(name: str) -> None:
    """With attention as two matrix products (its own count of the fused one on a CPU is 0), which run in full: PaLM's
    convention counts them so."""
    spec = spec_of(name)
    torch.manual_seed(0)
    ids = torch.randint(0, spec.vocab_size, (2, spec.model.context))
    targets = torch.zeros(2, dtype=torch.long) if counts.has_classes(spec) else ids
    model = WholeModel(spec)
    with FlopCounterMode(display=False) as counter, nn.attention.sdpa_kernel(nn.attention.SDPBackend.MATH):
        cross_entropy(
            model((ids, ids) if spec.model.family == "encoder-decoder" else ids), targets
        ).backward()
    assert counter.get_total_flops() == flops.palm_per_step(spec)
    assert sum(p.numel() for p in model.parameters()) == counts.parameters(spec)
    assert flops.model_per_step(spec) <= flops.palm_per_step(spec)


def test_recomputing_blocks_adds_a_fourth_pass_to_three() -> None:
    full = parse({"model": MODEL, "parallel": {"activation_checkpointing": "full"}})
    work = sum(layer.model for layer in flops.layers(full)[1:-2]) * full.batch.global_batch_size
    assert flops.hardware_per_step(full) - flops.model_per_step(full) == work


@pytest.mark.parametrize(
    "key",
    [
        "attention fp32 layernorm",
        "attention bf16 rmsnorm special shared",
        "masked_attention fp32 layernorm dropout",
        "cross_attention fp32 layernorm",
        "feed_forward bf16 layernorm special",
        "feed_forward fp32 rmsnorm dropout",
    ],
)
def test_the_table_of_block_constants_is_up_to_date(key: str) -> None:
    """Otherwise: python -m engine.rank.bench.trace_constants."""
    assert trace_constants.measure_table(key) == {key: constants.rows()[key]}
