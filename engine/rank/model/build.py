"""From a spec to layers with their initial weights, and the whole list as one module.

Every layout (plain, ZeRO, tensor, pipeline) is made from this list and names each layer by its place in it. Each
layer is initialised from a seed of its own and cut afterwards, so the same spec starts from the same weights however
it is laid out.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from engine.model_math import counts
from engine.rank.model.blocks import CrossBlock, DecoderBlock, EncoderBlock
from engine.rank.model.embed import Embed, Stream
from engine.rank.model.ends import ClassHead, Head, LastNorm, SourceNorm
from engine.rank.model.shard import WHOLE, Shard, splits_of
from engine.spec.spec import Spec

INIT_STD = 0.02  # GPT-2's
INTO_THE_STREAM = ("output.weight", "down.weight")

KINDS: dict[counts.LayerKind, type[nn.Module]] = {
    "embed": Embed, "decoder_block": DecoderBlock, "encoder_block": EncoderBlock, "cross_block": CrossBlock,
    "source_norm": SourceNorm, "norm": LastNorm, "head": Head, "class_head": ClassHead,
}  # fmt: skip


def layer_class(spec: Spec, index: int) -> type[nn.Module]:
    return KINDS[counts.layer_kinds(spec)[index]]


def build_layer(spec: Spec, index: int, shard: Shard = WHOLE) -> nn.Module:
    """Layer `index` with its initial weights (or a tensor rank's share of them), on the CPU in fp32; torch's random
    state is left as it was."""
    whole = _empty(spec, index, WHOLE)
    _initialise(spec, index, whole)
    return whole if shard.of == 1 else _cut(spec, index, whole, shard)


class Whole(nn.Module):
    """All layers as one module for plain and ZeRO engines, named "0", "1", ... as in a pipeline."""

    def __init__(self, spec: Spec, shard: Shard = WHOLE) -> None:
        super().__init__()
        layers = [build_layer(spec, index, shard) for index in range(len(counts.layer_kinds(spec)))]
        if counts.is_tied(spec):
            layers[-1].weight = layers[0].token.weight
        for index, layer in enumerate(layers):
            self.add_module(str(index), layer)

    def forward(self, ids: Stream) -> Tensor:
        stream = ids
        for layer in self.children():
            stream = layer(stream)
        return stream


def _empty(spec: Spec, index: int, shard: Shard) -> nn.Module:
    with torch.device("meta"):
        layer = layer_class(spec, index)(spec, shard)
    return layer.to_empty(device="cpu")


@torch.no_grad()
def _initialise(spec: Spec, index: int, layer: nn.Module) -> None:
    tied = counts.is_tied(spec) and isinstance(layer, Head)
    random = torch.Generator().manual_seed(spec.seed + (0 if tied else index))
    # GPT-2's: keeps the stream's variance over depth, however many sublayers add to it.
    depth = spec.model.num_encoder_layers if isinstance(layer, EncoderBlock) else spec.model.layers
    residual_std = INIT_STD / math.sqrt((3 if isinstance(layer, CrossBlock) else 2) * depth)
    for name, parameter in layer.named_parameters():
        if parameter.dim() >= 2:
            into_stream = name.endswith(INTO_THE_STREAM)
            parameter.normal_(0.0, residual_std if into_stream else INIT_STD, generator=random)
        else:
            parameter.fill_(0.0 if name.endswith("bias") else 1.0)


@torch.no_grad()
def _cut(spec: Spec, index: int, whole: nn.Module, shard: Shard) -> nn.Module:
    layer, splits = _empty(spec, index, shard), splits_of(whole)
    for name, parameter in layer.named_parameters():
        full = whole.get_parameter(name)
        parameter.copy_(splits[name].cut(full, shard) if name in splits else full)
        # By this mark DeepSpeed counts a cut parameter on every tensor rank and a whole one once in gradient norms.
        parameter.tensor_model_parallel = name in splits  # type: ignore[attr-defined]
    return layer
