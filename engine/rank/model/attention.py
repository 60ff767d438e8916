"""Attention: softmax(Q K^T / sqrt(D)) V over some heads (Vaswani et al., arXiv 1706.03762, eq. 1).

Shapes: B sequences, S places, H width, A query heads, K key/value heads, D = H / A; a tensor rank has A / ranks and
K / ranks of them.
"""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn

from engine.rank.model.positions import rotated
from engine.rank.model.shard import ColumnLinear, RowLinear, Shard
from engine.spec.spec import Spec


class Attention(nn.Module):
    """A sequence looks at itself: at what came before each place if `causal`, else at every real place."""

    def __init__(self, spec: Spec, shard: Shard, causal: bool) -> None:
        super().__init__()
        model = spec.model
        self.size, self.dropout, self.causal = model.width // model.heads, model.dropout, causal
        self.rotary = model.positions == "rotary"
        keys = model.num_kv_heads * self.size
        # One matrix product for all three.
        self.query_key_value = ColumnLinear(model.width, (model.width, keys, keys), model.biases, shard)
        self.output = RowLinear(model.width, model.width, model.biases, shard)
        self.widths = (model.width // shard.of, keys // shard.of, keys // shard.of)

    def forward(self, x_BSH: Tensor, keys_B11S: Tensor | None = None) -> Tensor:
        q_BASD, k_BKSD, v_BKSD = (
            _heads(part, self.size) for part in self.query_key_value(x_BSH).split(self.widths, -1)
        )
        if self.rotary:
            q_BASD, k_BKSD = rotated(q_BASD), rotated(k_BKSD)
        dropout = self.dropout if self.training else 0.0
        return self.output(_attend(q_BASD, k_BKSD, v_BKSD, keys_B11S, self.causal, dropout))


class CrossAttention(nn.Module):
    """The target's places look at the source's real places."""

    def __init__(self, spec: Spec, shard: Shard) -> None:
        super().__init__()
        model = spec.model
        self.size, self.dropout = model.width // model.heads, model.dropout
        keys = model.num_kv_heads * self.size
        self.query = ColumnLinear(model.width, (model.width,), model.biases, shard)
        self.key_value = ColumnLinear(model.width, (keys, keys), model.biases, shard)
        self.output = RowLinear(model.width, model.width, model.biases, shard)

    def forward(self, x_BSH: Tensor, source_BSH: Tensor, keys_B11S: Tensor) -> Tensor:
        q_BASD = _heads(self.query(x_BSH), self.size)
        k_BKSD, v_BKSD = (_heads(part, self.size) for part in self.key_value(source_BSH).chunk(2, -1))
        dropout = self.dropout if self.training else 0.0
        return self.output(_attend(q_BASD, k_BKSD, v_BKSD, keys_B11S, False, dropout))


def _heads(x_BSH: Tensor, size: int) -> Tensor:
    """[B, S, A x D] -> [B, A, S, D]"""
    return x_BSH.unflatten(-1, (-1, size)).transpose(1, 2)


def _attend(q: Tensor, k: Tensor, v: Tensor, keys: Tensor | None, causal: bool, dropout: float) -> Tensor:
    """[B, A, S, D] queries -> [B, S, A x D]; query heads share key/value heads in groups of A / K neighbours
    (Ainslie et al., arXiv 2305.13245)."""
    grouped = q.shape[1] != k.shape[1]
    out_BASD = F.scaled_dot_product_attention(
        q, k, v, attn_mask=keys, dropout_p=dropout, is_causal=causal, enable_gqa=grouped
    )
    return out_BASD.transpose(1, 2).flatten(2)
