"""Pre-norm blocks: what each adds to the residual stream, and what is recomputed in the backward pass."""

from __future__ import annotations

from collections.abc import Callable

import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from engine.rank.model.attention import Attention, CrossAttention
from engine.rank.model.embed import Stream, real_keys
from engine.rank.model.shard import ColumnLinear, RowLinear, Shard
from engine.spec.spec import Spec


def norm(spec: Spec) -> nn.Module:
    if spec.model.norm == "rmsnorm":
        return nn.RMSNorm(spec.model.width, eps=1e-5)  # Zhang and Sennrich, arXiv 1910.07467
    return nn.LayerNorm(spec.model.width)


class FeedForward(nn.Module):
    """GELU(x U) D, or the gated (SiLU(x G) * x U) D of Shazeer, arXiv 2002.05202, eq. 6."""

    def __init__(self, spec: Spec, shard: Shard) -> None:
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


class Block(nn.Module):
    """Attention, cross-attention where there is a source, feed-forward. Recomputed in the backward pass: nothing, what
    each attention holds (selective), or the whole block (full)."""

    def __init__(self, spec: Spec, shard: Shard, causal: bool, cross: bool = False) -> None:
        super().__init__()
        self.recompute = spec.parallel.activation_checkpointing
        self.attention_norm = norm(spec)
        self.attention = Attention(spec, shard, causal)
        if cross:
            self.cross_attention_norm = norm(spec)
            self.cross_attention = CrossAttention(spec, shard)
        self.feed_forward_norm = norm(spec)
        self.feed_forward = FeedForward(spec, shard)
        self.dropout = nn.Dropout(spec.model.dropout)

    def through(self, x_BSH: Tensor, *context: Tensor) -> Tensor:
        """One pass. `context`: the mask of an encoder's keys, or the source and its mask for cross-attention."""
        return self._kept("full", self._all, x_BSH, *context)

    def _all(self, x_BSH: Tensor, *context: Tensor) -> Tensor:
        x_BSH = x_BSH + self._kept("selective", self._look, x_BSH, *context)
        if len(context) == 2:
            x_BSH = x_BSH + self._kept("selective", self._look_across, x_BSH, *context)
        return x_BSH + self.dropout(self.feed_forward(self.feed_forward_norm(x_BSH)))

    def _look(self, x_BSH: Tensor, *context: Tensor) -> Tensor:
        keys_B11S = context[0] if len(context) == 1 else None
        return self.dropout(self.attention(self.attention_norm(x_BSH), keys_B11S))

    def _look_across(self, x_BSH: Tensor, source_BSH: Tensor, keys_B11S: Tensor) -> Tensor:
        return self.dropout(self.cross_attention(self.cross_attention_norm(x_BSH), source_BSH, keys_B11S))

    def _kept(self, what: str, function: Callable[..., Tensor], *inputs: Tensor) -> Tensor:
        if self.training and self.recompute == what:
            return checkpoint(function, *inputs, use_reentrant=False)
        return function(*inputs)


class DecoderBlock(Block):
    """Of a decoder-only model: x -> x."""

    def __init__(self, spec: Spec, shard: Shard) -> None:
        super().__init__(spec, shard, causal=True)

    def forward(self, x_BSH: Tensor) -> Tensor:
        return self.through(x_BSH)


class EncoderBlock(Block):
    """The stream's first tensor looks at itself in both directions; the rest passes through."""

    def __init__(self, spec: Spec, shard: Shard) -> None:
        super().__init__(spec, shard, causal=False)

    def forward(self, stream: tuple[Tensor, ...]) -> Stream:
        x_BSH, *rest = stream
        return (self.through(x_BSH, real_keys(rest[-1])), *rest)


class CrossBlock(Block):
    """Of an encoder-decoder's decoder: the target looks back at itself, then at the finished source."""

    def __init__(self, spec: Spec, shard: Shard) -> None:
        super().__init__(spec, shard, causal=True, cross=True)

    def forward(self, stream: tuple[Tensor, ...]) -> Stream:
        source_BSH, x_BSH, ids_BS = stream
        return source_BSH, self.through(x_BSH, source_BSH, real_keys(ids_BS)), ids_BS
