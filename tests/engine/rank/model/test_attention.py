"""Attention compared with its formula, and positional encodings."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from engine.rank.model.attention import Attention, CrossAttention
from engine.rank.model.positions import Rotary, apply_rotary, sinusoidal
from engine.rank.model.tensor_parallel import UNSHARDED
from tests.engine.rank.shapes import spec_for_family


def _reference(q: Tensor, k: Tensor, v: Tensor, may_look: Tensor) -> Tensor:
    """Compute softmax(Q K^T / sqrt(D)) V with key/value heads repeated for their groups."""
    groups = q.shape[1] // k.shape[1]
    k, v = (t.repeat_interleave(groups, 1) for t in (k, v))
    scores = q @ k.transpose(-1, -2) / math.sqrt(q.shape[-1])
    weights = scores.masked_fill(~may_look, float("-inf")).softmax(-1)
    return (weights @ v).transpose(1, 2).flatten(2)


def _heads(t: Tensor, heads: int) -> Tensor:
    return t.view(*t.shape[:2], heads, -1).transpose(1, 2)


@pytest.mark.parametrize("causal", [True, False])
@pytest.mark.parametrize("name", ["GPT", "Llama", "sinusoidal"])
def test_attention_is_softmax_of_scaled_products_times_values(name: str, causal: bool) -> None:
    spec = spec_for_family(name)
    torch.manual_seed(3)
    attention = Attention(spec, UNSHARDED, causal).eval()
    x_BSH = torch.randn(2, 16, 32)
    heads, kv_heads = spec.model.heads, spec.model.num_kv_heads
    keys = kv_heads * 32 // heads
    q, k, v = attention.query_key_value(x_BSH).split((32, keys, keys), dim=-1)
    q, k, v = _heads(q, heads), _heads(k, kv_heads), _heads(v, kv_heads)
    if name == "Llama":
        rotary = Rotary(32 // heads)
        q, k = apply_rotary(q, rotary), apply_rotary(k, rotary)
    if causal:
        mask, may_look = None, torch.ones(16, 16, dtype=torch.bool).tril()
    else:
        mask = may_look = torch.ones(2, 1, 1, 16, dtype=torch.bool)
        mask[1, ..., 9:] = False
    expected = attention.output(_reference(q, k, v, may_look))
    torch.testing.assert_close(attention(x_BSH, mask), expected, rtol=1e-5, atol=1e-6)


def test_cross_attention_reads_keys_and_values_from_the_source() -> None:
    spec = spec_for_family("modern pairs")
    torch.manual_seed(3)
    attention = CrossAttention(spec, UNSHARDED).eval()
    x_BSH, source_BSH = torch.randn(2, 12, 32), torch.randn(2, 16, 32)
    mask = torch.ones(2, 1, 1, 16, dtype=torch.bool)
    mask[1, ..., 9:] = False
    q = _heads(attention.query(x_BSH), 4)
    k, v = (_heads(part, 2) for part in attention.key_value(source_BSH).chunk(2, -1))
    expected = attention.output(_reference(q, k, v, mask))
    torch.testing.assert_close(attention(x_BSH, source_BSH, mask), expected, rtol=1e-5, atol=1e-6)


def test_products_of_rotary_queries_and_keys_depend_on_the_distance_alone() -> None:
    random = torch.Generator().manual_seed(1)
    q, k = torch.randn(8, generator=random), torch.randn(8, generator=random)
    rotated_q, rotated_k = (apply_rotary(t.expand(1, 1, 12, 8), Rotary(8))[0, 0] for t in (q, k))
    assert (rotated_q[5] @ rotated_k[2]).item() == pytest.approx(
        (rotated_q[10] @ rotated_k[7]).item(), abs=1e-5
    )
    assert (rotated_q[5] @ rotated_k[2]).item() != pytest.approx(
        (rotated_q[10] @ rotated_k[2]).item(), abs=1e-2
    )
    torch.testing.assert_close(rotated_q[0], q)


def test_sine_waves_are_those_of_the_paper() -> None:
    table = sinusoidal(20, 32, torch.device("cpu"))
    assert table[7, 10].item() == pytest.approx(math.sin(7 / 10000 ** (10 / 32)), abs=1e-6)
    assert table[7, 11].item() == pytest.approx(math.cos(7 / 10000 ** (10 / 32)), abs=1e-6)
