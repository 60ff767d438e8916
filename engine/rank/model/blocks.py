"""Transformer blocks with activation checkpointing."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from engine.rank.model.attention import Attention, CrossAttention
from engine.rank.model.documents import document_mask
from engine.rank.model.embed import Stream, padding_mask
from engine.rank.model.norms import build_norm
from engine.rank.model.tensor_parallel import ColumnLinear, RowLinear, TensorShard
from engine.spec.spec import Spec

_gelu_tanh = partial(F.gelu, approximate="tanh")
# Feed-forward -> its activation
ACTIVATIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "gelu": _gelu_tanh, "gelu_exact": F.gelu, "relu": F.relu, "silu": F.silu,
    "swiglu": F.silu, "geglu": _gelu_tanh, "geglu_exact": F.gelu, "reglu": F.relu,
}  # fmt: skip


class FeedForward(nn.Module):
    """f(x U) D, or gated: (f(x G) * x U) D (Shazeer, arXiv 2002.05202, eq. 6)."""

    def __init__(self, spec: Spec, shard: TensorShard) -> None:
        super().__init__()
        model = spec.model
        self.gated, self.activate = model.is_gated, ACTIVATIONS[model.feed_forward]
        bias = model.has_feed_forward_biases
        if self.gated:
            self.gate = ColumnLinear(model.width, (model.ffn_width,), bias, shard)
        self.up = ColumnLinear(model.width, (model.ffn_width,), bias, shard)
        self.down = RowLinear(model.ffn_width, model.width, bias, shard)

    def forward(self, x_BSH: Tensor) -> Tensor:
        if self.gated:
            return self.down(self.activate(self.gate(x_BSH)) * self.up(x_BSH))
        return self.down(self.activate(self.up(x_BSH)))


class TransformerBlock(nn.Module):
    """Attention, cross-attention if the model has a source, feed-forward.

    Activation checkpointing recomputes nothing, each attention (selective), or the whole block (full).
    """

    def __init__(
        self, spec: Spec, shard: TensorShard, causal: bool, cross: bool = False, window: bool = False
    ) -> None:
        super().__init__()
        self.recompute = spec.parallel.activation_checkpointing
        self.position, self.parallel = spec.model.norm_position, spec.model.parallel_residual
        self.attention_norm = build_norm(spec)
        self.attention = Attention(spec, shard, causal, window)
        if cross:
            self.cross_attention_norm = build_norm(spec)
            self.cross_attention = CrossAttention(spec, shard)
        self.feed_forward_norm = build_norm(spec)
        self.feed_forward = FeedForward(spec, shard)
        if self.position == "sandwich":
            self.attention_post_norm, self.feed_forward_post_norm = build_norm(spec), build_norm(spec)
            if cross:
                self.cross_attention_post_norm = build_norm(spec)
        self.dropout = nn.Dropout(spec.model.dropout)

    def run_block(self, x_BSH: Tensor, *context: Tensor | None) -> Tensor:
        """Run the block. `context` holds the padding mask of self-attention, its bias, and of a decoder with a source
        that source and its padding mask; what a block does not have is None or left out."""
        return self._maybe_recompute("full", self._forward_block, x_BSH, *context)

    def _forward_block(self, x_BSH: Tensor, *context: Tensor | None) -> Tensor:
        attended = self._maybe_recompute("selective", self._self_attention, x_BSH, *context[:2])
        if self.parallel:
            return x_BSH + attended + self._feed_forward(x_BSH)
        x_BSH = self._add("attention", x_BSH, attended)
        if len(context) == 4:
            attended = self._maybe_recompute("selective", self._cross_attention, x_BSH, *context[2:])
            x_BSH = self._add("cross_attention", x_BSH, attended)
        return self._add("feed_forward", x_BSH, self._feed_forward(x_BSH))

    def _self_attention(
        self, x_BSH: Tensor, keys_B11S: Tensor | None = None, bias_1ASS: Tensor | None = None
    ) -> Tensor:
        x_BSH = self._norm_before("attention", x_BSH)
        return self._norm_after("attention", self.attention(x_BSH, keys_B11S, bias_1ASS))

    def _cross_attention(self, x_BSH: Tensor, source_BSH: Tensor, keys_B11S: Tensor) -> Tensor:
        x_BSH = self._norm_before("cross_attention", x_BSH)
        return self._norm_after("cross_attention", self.cross_attention(x_BSH, source_BSH, keys_B11S))

    def _feed_forward(self, x_BSH: Tensor) -> Tensor:
        x_BSH = self._norm_before("feed_forward", x_BSH)
        return self._norm_after("feed_forward", self.feed_forward(x_BSH))

    def _norm_before(self, sublayer: str, x_BSH: Tensor) -> Tensor:
        has_norm = self.position in ("pre", "sandwich")
        return getattr(self, f"{sublayer}_norm")(x_BSH) if has_norm else x_BSH  # type: ignore[no-any-return]

    def _norm_after(self, sublayer: str, x_BSH: Tensor) -> Tensor:
        name = {"sandwich": f"{sublayer}_post_norm", "output": f"{sublayer}_norm"}.get(self.position)
        return self.dropout(getattr(self, name)(x_BSH) if name else x_BSH)  # type: ignore[no-any-return]

    def _add(self, sublayer: str, x_BSH: Tensor, change_BSH: Tensor) -> Tensor:
        """Add the result of a sublayer to the stream; a post-norm follows the sum."""
        total = x_BSH + change_BSH
        return getattr(self, f"{sublayer}_norm")(total) if self.position == "post" else total  # type: ignore[no-any-return]

    def _maybe_recompute(self, mode: str, function: Callable[..., Tensor], *inputs: Tensor | None) -> Tensor:
        if self.training and self.recompute == mode:
            return checkpoint(function, *inputs, use_reentrant=False)
        return function(*inputs)


class DecoderBlock(TransformerBlock):
    """Block of a decoder-only model: x -> x; the positions of packed documents do not change."""

    has_window = False

    def __init__(self, spec: Spec, shard: TensorShard) -> None:
        super().__init__(spec, shard, causal=True, window=self.has_window)

    def forward(self, stream: Stream) -> Stream:
        if isinstance(stream, Tensor):
            return self.run_block(stream)
        x_BSH, positions_BS = stream
        return self.run_block(x_BSH, document_mask(positions_BS)), positions_BS


class WindowBlock(DecoderBlock):
    """Block of a decoder-only model with a sliding window."""

    has_window = True


class EncoderBlock(TransformerBlock):
    """Block of an encoder: bidirectional self-attention on the first tensor; the other tensors do not change."""

    def __init__(self, spec: Spec, shard: TensorShard) -> None:
        super().__init__(spec, shard, causal=False)
        self.has_bias = spec.model.positions == "relative"

    def forward(self, stream: tuple[Tensor, ...]) -> Stream:
        x_BSH, *rest = stream
        bias_1ASS = rest[-3] if self.has_bias else None
        return (self.run_block(x_BSH, padding_mask(rest[-1]), bias_1ASS), *rest)


class CrossBlock(TransformerBlock):
    """Decoder block of an encoder-decoder: causal self-attention, then cross-attention to the encoded source."""

    def __init__(self, spec: Spec, shard: TensorShard) -> None:
        super().__init__(spec, shard, causal=True, cross=True)
        self.has_bias = spec.model.positions == "relative"

    def forward(self, stream: tuple[Tensor, ...]) -> Stream:
        source_BSH, x_BSH, *biases, ids_BS = stream
        bias_1ASS = biases[-1] if self.has_bias else None
        x_BSH = self.run_block(x_BSH, None, bias_1ASS, source_BSH, padding_mask(ids_BS))
        return (source_BSH, x_BSH, *biases, ids_BS)
