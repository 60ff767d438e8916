"""Embedding layer: token ids to the residual stream.

Tensors between layers, and between stages of a pipeline (S' is the length of a source text):

    decoder          x [B, S, H]; with packed documents also positions [B, S], each within its document
    encoder          x [B, S, H], ids [B, S]: the ids mark padding
    encoder-decoder  source [B, S', H], x [B, S, H], source ids [B, S']
    relative         as encoder-decoder, and before the ids the biases of encoder and decoder, [1, A, S', S'] and
                     [1, A, S, S] of A heads: one table of each stack serves all of its layers
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from engine.data.batches import PADDING
from engine.rank.model.norms import build_norm
from engine.rank.model.positions import RelativeBias, sinusoidal
from engine.rank.model.tensor_parallel import TensorShard
from engine.spec.spec import Spec

Stream = Tensor | tuple[Tensor, ...]


class Embed(nn.Module):
    """Token embedding plus learned or sinusoidal positions; source and target share one table."""

    def __init__(self, spec: Spec, shard: TensorShard) -> None:
        super().__init__()
        model = spec.model
        self.family, self.positions, self.scale = model.family, model.positions, model.embedding_scale
        self.token = nn.Embedding(spec.vocab_size, model.width)
        if model.positions == "learned":
            self.position = nn.Embedding(model.context, model.width)
        if model.positions == "relative":
            self.encoder_bias = RelativeBias(model, shard, causal=False)
            self.decoder_bias = RelativeBias(model, shard, causal=True)
        self.has_types, self.has_norm = bool(model.token_types), model.embedding_norm
        if self.has_types:
            self.token_type = nn.Embedding(model.token_types, model.width)
        if self.has_norm:
            self.norm = build_norm(spec)
        self.dropout = nn.Dropout(model.dropout)

    def forward(self, ids: Stream) -> Stream:
        if self.family == "encoder-decoder":
            source_BS, target_BS = ids
            biases: tuple[Tensor, ...] = ()
            if self.positions == "relative":
                biases = self.encoder_bias(source_BS), self.decoder_bias(target_BS)
            return (self._embed(source_BS), self._embed(target_BS), *biases, source_BS)
        if isinstance(ids, tuple):
            ids_BS, positions_BS = ids
            return self._embed(ids_BS, positions_BS), positions_BS
        return self._embed(ids) if self.family == "decoder" else (self._embed(ids), ids)

    def _embed(self, ids_BS: Tensor, positions_BS: Tensor | None = None) -> Tensor:
        """`positions_BS` are those of packed documents. Rotary positions need none: only distances count."""
        if self.family != "decoder":
            ids_BS = ids_BS.clamp(min=0)
        x_BSH, length = self.token(ids_BS), ids_BS.shape[1]
        if self.scale != 1:
            x_BSH = x_BSH * self.scale
        if self.positions == "learned":
            counted_S = torch.arange(length, device=ids_BS.device)
            x_BSH = x_BSH + self.position(counted_S if positions_BS is None else positions_BS)
        elif self.positions == "sinusoidal":
            # Scales embeddings to the amplitude of the sine waves, 1 (arXiv 1706.03762, sec. 3.4).
            width = x_BSH.shape[-1]
            waves = sinusoidal(length, width, ids_BS.device).to(x_BSH.dtype)
            x_BSH = x_BSH * math.sqrt(width) + (waves if positions_BS is None else waves[positions_BS])
        if self.has_types:
            x_BSH = x_BSH + self.token_type(torch.zeros_like(ids_BS))
        if self.has_norm:
            x_BSH = self.norm(x_BSH)
        return self.dropout(x_BSH)


def padding_mask(ids_BS: Tensor) -> Tensor:
    """Return [B, 1, 1, S], true at positions that are not padding."""
    return (ids_BS != PADDING)[:, None, None, :]
