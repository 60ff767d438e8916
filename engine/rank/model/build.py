"""Construction of layers with initial weights, from a spec.

Every layout (plain, ZeRO, tensor, pipeline) uses the same list of layers and names each layer by its index. Each layer
is initialised from its own seed and then split, so a spec starts from the same weights in every layout.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from engine.model_math import counts
from engine.rank.model.adapters import attach_adapters
from engine.rank.model.blocks import CrossBlock, DecoderBlock, EncoderBlock, WindowBlock
from engine.rank.model.embed import Embed, Stream
from engine.rank.model.heads import ClassHead, FinalNorm, LanguageModelHead, SourceNorm
from engine.rank.model.tensor_parallel import UNSHARDED, TensorShard, collect_splits
from engine.spec.spec import Spec

INIT_STD = 0.02  # as in GPT-2
RESIDUAL_WEIGHTS = ("output.weight", "down.weight")

LAYER_CLASSES: dict[counts.LayerKind, type[nn.Module]] = {
    "embed": Embed, "decoder_block": DecoderBlock, "window_block": WindowBlock, "encoder_block": EncoderBlock,
    "cross_block": CrossBlock, "source_norm": SourceNorm, "norm": FinalNorm, "head": LanguageModelHead,
    "class_head": ClassHead,
}  # fmt: skip


def get_layer_class(spec: Spec, index: int) -> type[nn.Module]:
    return LAYER_CLASSES[counts.layer_kinds(spec)[index]]


def build_layer(spec: Spec, index: int, shard: TensorShard = UNSHARDED) -> nn.Module:
    """Build layer `index` with its initial weights (of a tensor rank: its shard), on the CPU in fp32.

    Does not change torch's random state.
    """
    whole = _build_empty(spec, index, UNSHARDED)
    _initialise(spec, index, whole)
    layer = whole if shard.count == 1 else _shard_layer(spec, index, whole, shard)
    attach_adapters(spec, index, layer, shard)
    return layer


class WholeModel(nn.Module):
    """All layers as one module for plain and ZeRO engines. Layers have the names "0", "1", ... as in a pipeline."""

    def __init__(self, spec: Spec, shard: TensorShard = UNSHARDED) -> None:
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


def _build_empty(spec: Spec, index: int, shard: TensorShard) -> nn.Module:
    with torch.device("meta"):
        layer = get_layer_class(spec, index)(spec, shard)
    return layer.to_empty(device="cpu")


@torch.no_grad()
def _initialise(spec: Spec, index: int, layer: nn.Module) -> None:
    tied = counts.is_tied(spec) and isinstance(layer, LanguageModelHead)
    random = torch.Generator().manual_seed(spec.seed + (0 if tied else index))
    # As in GPT-2: keeps the variance of the residual stream constant over any number of sublayers.
    depth = spec.model.num_encoder_layers if isinstance(layer, EncoderBlock) else spec.model.layers
    residual_std = INIT_STD / math.sqrt((3 if isinstance(layer, CrossBlock) else 2) * depth)
    for name, parameter in layer.named_parameters():
        if tied and name != "weight":
            random.manual_seed(spec.seed + index)  # only the shared matrix has the seed of the embedding
        if parameter.dim() >= 2:
            is_residual = name.endswith(RESIDUAL_WEIGHTS)
            parameter.normal_(0.0, residual_std if is_residual else INIT_STD, generator=random)
        else:
            parameter.fill_(0.0 if name.endswith("bias") else 1.0)


@torch.no_grad()
def _shard_layer(spec: Spec, index: int, whole: nn.Module, shard: TensorShard) -> nn.Module:
    layer, splits = _build_empty(spec, index, shard), collect_splits(whole)
    for name, parameter in layer.named_parameters():
        full = whole.get_parameter(name)
        parameter.copy_(splits[name].split(full, shard) if name in splits else full)
        # DeepSpeed's gradient norm counts parameters with this flag on every tensor rank and the others once.
        parameter.tensor_model_parallel = name in splits  # type: ignore[attr-defined]
    return layer
