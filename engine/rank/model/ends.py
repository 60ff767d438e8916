"""The last layers: norms and heads."""

from __future__ import annotations

from torch import Tensor, nn

from engine.data.batches import PADDING
from engine.rank.model.blocks import norm
from engine.rank.model.embed import Stream
from engine.rank.model.shard import Shard
from engine.spec.spec import Spec


class SourceNorm(nn.Module):
    """Ends an encoder: its x is normed, the rest of the stream passes through."""

    def __init__(self, spec: Spec, shard: Shard) -> None:
        super().__init__()
        self.norm = norm(spec)

    def forward(self, stream: tuple[Tensor, ...]) -> Stream:
        x_BSH, *rest = stream
        return (self.norm(x_BSH), *rest)


class LastNorm(nn.Module):
    """Ends the blocks: what a head reads, [B, S, H], is taken out of the stream and normed."""

    def __init__(self, spec: Spec, shard: Shard) -> None:
        super().__init__()
        self.norm = norm(spec)

    def forward(self, stream: Stream) -> Tensor:
        return self.norm(stream if isinstance(stream, Tensor) else stream[-2])


class Head(nn.Linear):
    """Logits: [B, S, H] -> [B, S, V], no bias. Where embeddings are tied, its weight is the token embedding's."""

    def __init__(self, spec: Spec, shard: Shard) -> None:
        super().__init__(spec.model.width, spec.vocab_size, bias=False)


class ClassHead(nn.Linear):
    """Logits of classes [B, C] from the mean over the real places of each sequence."""

    def __init__(self, spec: Spec, shard: Shard) -> None:
        super().__init__(spec.model.width, spec.model.classes)

    def forward(self, stream: tuple[Tensor, ...]) -> Tensor:
        x_BSH, ids_BS = stream
        real_BS1 = (ids_BS != PADDING)[..., None].to(x_BSH.dtype)
        return super().forward((x_BSH * real_BS1).sum(1) / real_BS1.sum(1).clamp(min=1))
