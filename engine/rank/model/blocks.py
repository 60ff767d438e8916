"""Pre-norm transformer blocks with activation checkpointing."""

from __future__ import annotations

from collections.abc import Callable

import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from engine.rank.model.attention import Attention, CrossAttention
from engine.rank.model.documents import document_mask
from engine.rank.model.embed import Stream, padding_mask
from engine.rank.model.tensor_parallel import ColumnLinear, RowLinear, TensorShard
from engine.spec.spec import Spec


def build_norm(spec: Spec) -> nn.Module:
    if spec.model.norm == "rmsnorm":
        return nn.RMSNorm(spec.model.width, eps=1e-5)  # Zhang and Sennrich, arXiv 1910.07467
    return nn.LayerNorm(spec.model.width)


class FeedForward(nn.Module):
    """GELU(x U) D, or SwiGLU: (SiLU(x G) * x U) D (Shazeer, arXiv 2002.05202, eq. 6)."""

    def __init__(self, spec: Spec, shard: TensorShard) -> None:
        super().__init__()
        model = spec.model
        self.gated = model.feed_forward == "swiglu"
        if self.gated:
            self.gate = ColumnLinear(model.width, (model.ffn_width,), model.biases, shard)
        self.up = ColumnLinear(model.width, (model.ffn_width,), model.biases, shard)
        self.down = RowLinear(model.ffn_width, model.width, model.biases, shard)

    def forward(self, x_BSH: Tensor) -> Tensor:
        if self.gated:
            return self.down(F.silu(self.gate(x_BSH)) * self.up(x_BSH))
        return self.down(F.gelu(self.up(x_BSH), approximate="tanh"))


class TransformerBlock(nn.Module):
    """Attention, cross-attention if the model has a source, feed-forward.

    Activation checkpointing recomputes nothing, each attention (selective), or the whole block (full).
    """

    def __init__(self, spec: Spec, shard: TensorShard, causal: bool, cross: bool = False) -> None:
        super().__init__()
        self.recompute = spec.parallel.activation_checkpointing
        self.attention_norm = build_norm(spec)
        self.attention = Attention(spec, shard, causal)
        if cross:
            self.cross_attention_norm = build_norm(spec)
            self.cross_attention = CrossAttention(spec, shard)
        self.feed_forward_norm = build_norm(spec)
        self.feed_forward = FeedForward(spec, shard)
        self.dropout = nn.Dropout(spec.model.dropout)

    def run_block(self, x_BSH: Tensor, *context: Tensor) -> Tensor:
        """Run the block. `context` is the padding mask of an encoder, or source and padding mask of a decoder."""
        return self._maybe_recompute("full", self._forward_block, x_BSH, *context)

    def _forward_block(self, x_BSH: Tensor, *context: Tensor) -> Tensor:
        x_BSH = x_BSH + self._maybe_recompute("selective", self._self_attention, x_BSH, *context)
        if len(context) == 2:
            x_BSH = x_BSH + self._maybe_recompute("selective", self._cross_attention, x_BSH, *context)
        return x_BSH + self.dropout(self.feed_forward(self.feed_forward_norm(x_BSH)))

    def _self_attention(self, x_BSH: Tensor, *context: Tensor) -> Tensor:
        keys_B11S = context[0] if len(context) == 1 else None
        return self.dropout(self.attention(self.attention_norm(x_BSH), keys_B11S))

    def _cross_attention(self, x_BSH: Tensor, source_BSH: Tensor, keys_B11S: Tensor) -> Tensor:
        return self.dropout(self.cross_attention(self.cross_attention_norm(x_BSH), source_BSH, keys_B11S))

    def _maybe_recompute(self, mode: str, function: Callable[..., Tensor], *inputs: Tensor) -> Tensor:
        if self.training and self.recompute == mode:
            return checkpoint(function, *inputs, use_reentrant=False)
        return function(*inputs)


class DecoderBlock(TransformerBlock):
    """Block of a decoder-only model: x -> x; the positions of packed documents do not change."""

    def __init__(self, spec: Spec, shard: TensorShard) -> None:
        super().__init__(spec, shard, causal=True)

    def forward(self, stream: Stream) -> Stream:
        if isinstance(stream, Tensor):
            return self.run_block(stream)
        x_BSH, positions_BS = stream
        return self.run_block(x_BSH, document_mask(positions_BS)), positions_BS


class EncoderBlock(TransformerBlock):
    """Block of an encoder: bidirectional self-attention on the first tensor; the other tensors do not change."""

    def __init__(self, spec: Spec, shard: TensorShard) -> None:
        super().__init__(spec, shard, causal=False)

    def forward(self, stream: tuple[Tensor, ...]) -> Stream:
        x_BSH, *rest = stream
        return (self.run_block(x_BSH, padding_mask(rest[-1])), *rest)


class CrossBlock(TransformerBlock):
    """Decoder block of an encoder-decoder: causal self-attention, then cross-attention to the encoded source."""

    def __init__(self, spec: Spec, shard: TensorShard) -> None:
        super().__init__(spec, shard, causal=True, cross=True)

    def forward(self, stream: tuple[Tensor, ...]) -> Stream:
        source_BSH, x_BSH, ids_BS = stream
        return source_BSH, self.run_block(x_BSH, source_BSH, padding_mask(ids_BS)), ids_BS
