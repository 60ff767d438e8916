"""Multi-head attention: softmax(Q K^T / sqrt(D)) V.

Source: Vaswani et al., arXiv 1706.03762, eq. 1. Shapes: B sequences, S positions, H width, A query heads,
K key/value heads, D = H / A; a tensor rank has A / ranks and K / ranks of the heads.
"""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn

from engine.rank.model.positions import apply_rotary
from engine.rank.model.tensor_parallel import ColumnLinear, RowLinear, TensorShard
from engine.spec.spec import Spec


class Attention(nn.Module):
    """Self-attention; if `causal`, each position attends to itself and earlier ones, else to all without padding.

    A mask given to a causal layer is that of documents (engine.rank.model.documents) and is causal itself.
    """

    def __init__(self, spec: Spec, shard: TensorShard, causal: bool) -> None:
        super().__init__()
        model = spec.model
        self.size, self.dropout, self.causal = model.width // model.heads, model.dropout, causal
        self.rotary = model.positions == "rotary"
        kv_width = model.num_kv_heads * self.size
        # One matrix product for query, key and value.
        self.query_key_value = ColumnLinear(
            model.width, (model.width, kv_width, kv_width), model.biases, shard
        )
        self.output = RowLinear(model.width, model.width, model.biases, shard)
        self.widths = (model.width // shard.count, kv_width // shard.count, kv_width // shard.count)

    def forward(self, x_BSH: Tensor, keys_B11S: Tensor | None = None) -> Tensor:
        q_BASD, k_BKSD, v_BKSD = (
            _heads(part, self.size) for part in self.query_key_value(x_BSH).split(self.widths, -1)
        )
        if self.rotary:
            q_BASD, k_BKSD = apply_rotary(q_BASD), apply_rotary(k_BKSD)
        dropout = self.dropout if self.training else 0.0
        causal = self.causal and keys_B11S is None
        return self.output(_attend(q_BASD, k_BKSD, v_BKSD, keys_B11S, causal, dropout))


class CrossAttention(nn.Module):
    """Cross-attention: positions of the target attend to positions of the source without padding."""

    def __init__(self, spec: Spec, shard: TensorShard) -> None:
        super().__init__()
        model = spec.model
        self.size, self.dropout = model.width // model.heads, model.dropout
        kv_width = model.num_kv_heads * self.size
        self.query = ColumnLinear(model.width, (model.width,), model.biases, shard)
        self.key_value = ColumnLinear(model.width, (kv_width, kv_width), model.biases, shard)
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
    """[B, A, S, D] queries -> [B, S, A x D]; groups of A / K adjacent query heads share a key/value head
    (grouped-query attention: Ainslie et al., arXiv 2305.13245)."""
    grouped = q.shape[1] != k.shape[1]
    out_BASD = F.scaled_dot_product_attention(
        q, k, v, attn_mask=keys, dropout_p=dropout, is_causal=causal, enable_gqa=grouped
    )
    return out_BASD.transpose(1, 2).flatten(2)
