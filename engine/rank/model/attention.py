"""Multi-head attention: softmax(Q K^T / sqrt(D)) V.

Source: Vaswani et al., arXiv 1706.03762, eq. 1. Shapes: B sequences, S positions, H width, A query heads,
K key/value heads, D features of a head; a tensor rank has A / ranks and K / ranks of the heads.
"""

from __future__ import annotations

from functools import lru_cache

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from engine.rank.model.norms import FullNorm, HeadNorm
from engine.rank.model.positions import Rotary, apply_rotary
from engine.rank.model.tensor_parallel import ColumnLinear, RowLinear, TensorShard
from engine.spec.model import Model
from engine.spec.spec import Spec


class Attention(nn.Module):
    """Self-attention; if `causal`, each position attends to itself and earlier ones, with `window` to the last few of
    them; else to all without padding.

    A mask given to a causal layer is that of documents (engine.rank.model.documents) and is causal itself.
    """

    def __init__(self, spec: Spec, shard: TensorShard, causal: bool, window: bool = False) -> None:
        super().__init__()
        model = spec.model
        self.size, self.dropout, self.causal = model.head_size, model.dropout, causal
        self.window = model.window if window else None
        self.scale, self.softcap = model.attention_scale, model.attention_softcap
        self.rotary = Rotary.from_model(model, window) if model.positions == "rotary" else None
        sections = (model.query_width, model.kv_width, model.kv_width)
        # One matrix product for query, key and value.
        self.query_key_value = ColumnLinear(model.width, sections, model.has_qkv_biases, shard)
        self.output = RowLinear(model.query_width, model.width, model.has_output_bias, shard)
        self.widths = tuple(section // shard.count for section in sections)
        self.qk_norm = model.qk_norm
        if self.qk_norm != "none":
            self.query_norm, self.key_norm = (
                _build_qk_norm(model, width, shard) for width in (model.query_width, model.kv_width)
            )

    def forward(
        self, x_BSH: Tensor, keys_B11S: Tensor | None = None, bias_1ASS: Tensor | None = None
    ) -> Tensor:
        q_BSX, k_BSX, v_BSX = self.query_key_value(x_BSH).split(self.widths, -1)
        if self.qk_norm == "full":
            q_BSX, k_BSX = self.query_norm(q_BSX), self.key_norm(k_BSX)
        q_BASD, k_BKSD, v_BKSD = (_heads(part, self.size) for part in (q_BSX, k_BSX, v_BSX))
        if self.qk_norm == "head":
            q_BASD, k_BKSD = self.query_norm(q_BASD), self.key_norm(k_BKSD)
        if self.rotary:
            q_BASD, k_BKSD = apply_rotary(q_BASD, self.rotary), apply_rotary(k_BKSD, self.rotary)
        mask, causal = keys_B11S, self.causal and keys_B11S is None
        length = x_BSH.shape[1]
        if self.window is not None and self.window < length:
            near_SS = _window_mask(length, self.window, x_BSH.device)
            mask, causal = near_SS if mask is None else mask & near_SS, False
        if bias_1ASS is not None:
            visible = _window_mask(length, length, x_BSH.device) if causal else mask
            mask, causal = bias_1ASS.masked_fill(~visible, float("-inf")), False  # type: ignore[operator]
        dropout = self.dropout if self.training else 0.0
        if self.softcap:
            return self.output(self._attend_capped(q_BASD, k_BKSD, v_BKSD, mask, causal, dropout))
        return self.output(_attend(q_BASD, k_BKSD, v_BKSD, mask, causal, dropout, self.scale))

    def _attend_capped(
        self, q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None, causal: bool, dropout: float
    ) -> Tensor:
        """Attention with scores limited by tanh (Gemma 2, arXiv 2408.00118, sec. 2), which torch's kernels cannot do;
        so all scores are kept."""
        groups = q.shape[1] // k.shape[1]
        k, v = (part.repeat_interleave(groups, 1) if groups > 1 else part for part in (k, v))
        scores = q @ k.transpose(-1, -2) * (self.size**-0.5 if self.scale is None else self.scale)
        scores = (scores / self.softcap).tanh() * self.softcap
        visible = _window_mask(q.shape[2], q.shape[2], q.device) if causal else mask
        if visible is not None:
            scores = scores.masked_fill(~visible, float("-inf"))
        shares = F.dropout(scores.float().softmax(-1).to(v.dtype), dropout)
        return (shares @ v).transpose(1, 2).flatten(2)


class CrossAttention(nn.Module):
    """Cross-attention: positions of the target attend to positions of the source without padding."""

    def __init__(self, spec: Spec, shard: TensorShard) -> None:
        super().__init__()
        model = spec.model
        self.size, self.dropout, self.scale = model.head_size, model.dropout, model.attention_scale
        queries, keys, bias = model.query_width, model.kv_width, model.has_qkv_biases
        self.query = ColumnLinear(model.width, (queries,), bias, shard)
        self.key_value = ColumnLinear(model.width, (keys, keys), bias, shard)
        self.output = RowLinear(queries, model.width, model.has_output_bias, shard)

    def forward(self, x_BSH: Tensor, source_BSH: Tensor, keys_B11S: Tensor) -> Tensor:
        q_BASD = _heads(self.query(x_BSH), self.size)
        k_BKSD, v_BKSD = (_heads(part, self.size) for part in self.key_value(source_BSH).chunk(2, -1))
        dropout = self.dropout if self.training else 0.0
        return self.output(_attend(q_BASD, k_BKSD, v_BKSD, keys_B11S, False, dropout, self.scale))


def _build_qk_norm(model: Model, width: int, shard: TensorShard) -> nn.Module:
    if model.qk_norm == "head":
        return HeadNorm(model.head_size, model.norm_epsilon, shard)
    return FullNorm(width, model.norm_epsilon, shard)


def _heads(x_BSH: Tensor, size: int) -> Tensor:
    """[B, S, A x D] -> [B, A, S, D]"""
    return x_BSH.unflatten(-1, (-1, size)).transpose(1, 2)


@lru_cache(maxsize=8)
def _window_mask(length: int, window: int, device: torch.device) -> Tensor:
    """Return [S, S], true where a key is one of the last `window` positions up to the query."""
    positions = torch.arange(length, device=device)
    distance_SS = positions[:, None] - positions[None, :]
    return (distance_SS >= 0) & (distance_SS < window)


def _attend(
    q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None, causal: bool, dropout: float, scale: float | None
) -> Tensor:
    """[B, A, S, D] queries -> [B, S, A x D]; groups of A / K adjacent query heads share a key/value head
    (grouped-query attention: Ainslie et al., arXiv 2305.13245)."""
    grouped = q.shape[1] != k.shape[1]
    out_BASD = F.scaled_dot_product_attention(
        q, k, v, attn_mask=mask, dropout_p=dropout, is_causal=causal, scale=scale, enable_gqa=grouped
    )
    return out_BASD.transpose(1, 2).flatten(2)
