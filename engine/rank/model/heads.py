"""Final layers: norms, language model head, classification head."""

from __future__ import annotations

from torch import Tensor, nn

from engine.data.batches import PADDING
from engine.rank.model.blocks import ACTIVATIONS
from engine.rank.model.embed import Stream
from engine.rank.model.norms import build_norm
from engine.rank.model.tensor_parallel import TensorShard
from engine.spec.spec import Spec


class SourceNorm(nn.Module):
    """Final norm of the encoder in an encoder-decoder: normalises x, and drops the biases of the encoder's relative
    positions, which no later layer reads; the other tensors do not change."""

    def __init__(self, spec: Spec, shard: TensorShard) -> None:
        super().__init__()
        self.norm = build_norm(spec) if spec.model.has_final_norm else nn.Identity()
        self.has_bias = spec.model.positions == "relative"

    def forward(self, stream: tuple[Tensor, ...]) -> Stream:
        x_BSH, *rest = stream
        if self.has_bias:
            del rest[-3]
        return (self.norm(x_BSH), *rest)


class FinalNorm(nn.Module):
    """Final norm: takes the input of the head, [B, S, H], out of the stream and normalises it."""

    def __init__(self, spec: Spec, shard: TensorShard) -> None:
        super().__init__()
        self.norm = build_norm(spec) if spec.model.has_final_norm else nn.Identity()

    def forward(self, stream: Stream) -> Tensor:
        if isinstance(stream, Tensor):
            return self.norm(stream)  # type: ignore[no-any-return]
        return self.norm(stream[0 if len(stream) == 2 else 1])  # type: ignore[no-any-return]


class LanguageModelHead(nn.Linear):
    """Logits [B, S, H] -> [B, S, V]. With tied embeddings the weight is that of the token embedding."""

    def __init__(self, spec: Spec, shard: TensorShard) -> None:
        model = spec.model
        super().__init__(model.width, spec.vocab_size, bias=model.head_transform)
        self.scale, self.softcap, self.has_transform = (
            model.logit_scale, model.logit_softcap, model.head_transform,
        )  # fmt: skip
        if self.has_transform:  # as in BERT's head for masked tokens
            self.activate = ACTIVATIONS[model.feed_forward]
            self.transform, self.transform_norm = nn.Linear(model.width, model.width), build_norm(spec)

    def forward(self, x_BSH: Tensor) -> Tensor:
        if self.has_transform:
            x_BSH = self.transform_norm(self.activate(self.transform(x_BSH)))
        if self.scale != 1:
            x_BSH = x_BSH * self.scale
        logits_BSV = super().forward(x_BSH)
        return (logits_BSV / self.softcap).tanh() * self.softcap if self.softcap else logits_BSV


class ClassHead(nn.Linear):
    """Logits of classes [B, C] from the mean over the positions of each sequence without padding."""

    def __init__(self, spec: Spec, shard: TensorShard) -> None:
        super().__init__(spec.model.width, spec.model.classes)

    def forward(self, stream: tuple[Tensor, ...]) -> Tensor:
        x_BSH, ids_BS = stream
        mask_BS1 = (ids_BS != PADDING)[..., None].to(x_BSH.dtype)
        return super().forward((x_BSH * mask_BS1).sum(1) / mask_BS1.sum(1).clamp(min=1))
