"""Final layers: norms, language model head, classification head."""

from __future__ import annotations

from torch import Tensor, nn

from engine.data.batches import PADDING
from engine.rank.model.blocks import build_norm
from engine.rank.model.embed import Stream
from engine.rank.model.tensor_parallel import TensorShard
from engine.spec.spec import Spec


class SourceNorm(nn.Module):
    """Final norm of the encoder in an encoder-decoder: normalises x; the other tensors do not change."""

    def __init__(self, spec: Spec, shard: TensorShard) -> None:
        super().__init__()
        self.norm = build_norm(spec)

    def forward(self, stream: tuple[Tensor, ...]) -> Stream:
        x_BSH, *rest = stream
        return (self.norm(x_BSH), *rest)


class FinalNorm(nn.Module):
    """Final norm: takes the input of the head, [B, S, H], out of the stream and normalises it."""

    def __init__(self, spec: Spec, shard: TensorShard) -> None:
        super().__init__()
        self.norm = build_norm(spec)

    def forward(self, stream: Stream) -> Tensor:
        return self.norm(stream if isinstance(stream, Tensor) else stream[-2])


class LanguageModelHead(nn.Linear):
    """Logits [B, S, H] -> [B, S, V] without bias. With tied embeddings the weight is that of the token embedding."""

    def __init__(self, spec: Spec, shard: TensorShard) -> None:
        super().__init__(spec.model.width, spec.vocab_size, bias=False)


class ClassHead(nn.Linear):
    """Logits of classes [B, C] from the mean over the positions of each sequence without padding."""

    def __init__(self, spec: Spec, shard: TensorShard) -> None:
        super().__init__(spec.model.width, spec.model.classes)

    def forward(self, stream: tuple[Tensor, ...]) -> Tensor:
        x_BSH, ids_BS = stream
        mask_BS1 = (ids_BS != PADDING)[..., None].to(x_BSH.dtype)
        return super().forward((x_BSH * mask_BS1).sum(1) / mask_BS1.sum(1).clamp(min=1))
