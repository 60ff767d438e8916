"""Embedding layer: token ids to the residual stream.

Tensors between layers, and between stages of a pipeline (S' is the length of a source text):

    decoder          x [B, S, H]; with packed documents also positions [B, S], each within its document
    encoder          x [B, S, H], ids [B, S]: the ids mark padding
    encoder-decoder  source [B, S', H], x [B, S, H], source ids [B, S']
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from engine.data.batches import PADDING
from engine.rank.model.positions import sinusoidal
from engine.rank.model.tensor_parallel import TensorShard
from engine.spec.spec import Spec

Stream = Tensor | tuple[Tensor, ...]


class Embed(nn.Module):
    """Token embedding plus learned or sinusoidal positions; source and target share one table."""

    def __init__(self, spec: Spec, shard: TensorShard) -> None:
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
            return self._embed(source_BS), self._embed(target_BS), source_BS
        if isinstance(ids, tuple):
            ids_BS, positions_BS = ids
            return self._embed(ids_BS, positions_BS), positions_BS
        return self._embed(ids) if self.family == "decoder" else (self._embed(ids), ids)

    def _embed(self, ids_BS: Tensor, positions_BS: Tensor | None = None) -> Tensor:
        """`positions_BS` are those of packed documents. Rotary positions need none: only distances count."""
        if self.family != "decoder":
            ids_BS = ids_BS.clamp(min=0)
        x_BSH, length = self.token(ids_BS), ids_BS.shape[1]
        if self.positions == "learned":
            counted_S = torch.arange(length, device=ids_BS.device)
            x_BSH = x_BSH + self.position(counted_S if positions_BS is None else positions_BS)
        elif self.positions == "sinusoidal":
            # Scales embeddings to the amplitude of the sine waves, 1 (arXiv 1706.03762, sec. 3.4).
            width = x_BSH.shape[-1]
            waves = sinusoidal(length, width, ids_BS.device).to(x_BSH.dtype)
            x_BSH = x_BSH * math.sqrt(width) + (waves if positions_BS is None else waves[positions_BS])
        return self.dropout(x_BSH)


def padding_mask(ids_BS: Tensor) -> Tensor:
    """Return [B, 1, 1, S], true at positions that are not padding."""
    return (ids_BS != PADDING)[:, None, None, :]
