"""The first layer: ids become the stream that the blocks work on.

What flows from layer to layer, in a pipeline from stage to stage (S' the length of a source text):

    decoder          x [B, S, H]
    encoder          x [B, S, H], ids [B, S]: the ids say where there is only padding
    encoder-decoder  source [B, S', H], x [B, S, H], source ids [B, S']
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from engine.data.batches import PADDING
from engine.rank.model.positions import sinusoidal
from engine.rank.model.shard import Shard
from engine.spec.spec import Spec

Stream = Tensor | tuple[Tensor, ...]


class Embed(nn.Module):
    """Token embedding, with the position's added where positions are added; one table for source and target."""

    def __init__(self, spec: Spec, shard: Shard) -> None:
        super().__init__()
        model = spec.model
        self.family, self.positions = model.family, model.positions
        self.token = nn.Embedding(spec.vocab_size, model.width)
        if model.positions == "learned":
            self.position = nn.Embedding(model.context, model.width)
        self.dropout = nn.Dropout(model.dropout)

    def forward(self, ids: Stream) -> Stream:
        if self.family == "encoder-decoder":
            source_BS, target_BS = ids
            return self._embedded(source_BS), self._embedded(target_BS), source_BS
        assert isinstance(ids, Tensor)
        return self._embedded(ids) if self.family == "decoder" else (self._embedded(ids), ids)

    def _embedded(self, ids_BS: Tensor) -> Tensor:
        if self.family != "decoder":
            ids_BS = ids_BS.clamp(min=0)
        x_BSH, length = self.token(ids_BS), ids_BS.shape[1]
        if self.positions == "learned":
            x_BSH = x_BSH + self.position(torch.arange(length, device=ids_BS.device))
        elif self.positions == "sinusoidal":
            # Waves have an amplitude of 1: tokens are brought near it (arXiv 1706.03762, sec. 3.4).
            width = x_BSH.shape[-1]
            x_BSH = x_BSH * math.sqrt(width) + sinusoidal(length, width, ids_BS.device).to(x_BSH.dtype)
        return self.dropout(x_BSH)


def real_keys(ids_BS: Tensor) -> Tensor:
    """[B, 1, 1, S] true where attention may look: everywhere but at padding."""
    return (ids_BS != PADDING)[:, None, None, :]
