"""Exact counts of layers, parameters and tokens."""

from __future__ import annotations

from functools import lru_cache
from typing import NamedTuple

from engine.model_math import parameters as shapes
from engine.model_math.parameters import LayerKind as LayerKind
from engine.spec.model import Model
from engine.spec.spec import Spec


class Count(NamedTuple):
    """Parameters of a layer: those that tensor parallelism splits, and those that every tensor rank holds."""

    split: int
    whole: int

    def on_a_rank(self, tensor: int) -> int:
        return self.split // tensor + self.whole


def layer_kinds(spec: Spec) -> list[LayerKind]:
    """The kind of each layer in order, the same in every layout."""
    return model_layer_kinds(spec.model, has_classes(spec))


def model_layer_kinds(model: Model, has_classes: bool = False) -> list[LayerKind]:
    encoder: list[LayerKind] = ["encoder_block"] * model.num_encoder_layers
    if model.family == "encoder-decoder":
        encoder.append("source_norm")
    decoder = [_decoder_kind(model, layer) for layer in range(model.num_decoder_layers)]
    end: tuple[LayerKind, ...] = ("source_norm", "class_head") if has_classes else ("norm", "head")
    return ["embed", *encoder, *decoder, *end]


def _decoder_kind(model: Model, layer: int) -> LayerKind:
    if model.family == "encoder-decoder":
        return "cross_block"
    return "window_block" if model.has_window(layer) else "decoder_block"


def has_classes(spec: Spec) -> bool:
    return spec.data.objective == "classes"


def count_of(spec: Spec, kind: LayerKind) -> Count:
    return _count(spec.model, spec.vocab_size, kind)


@lru_cache(maxsize=4096)
def _count(model: Model, vocab_size: int, kind: LayerKind) -> Count:
    found = shapes.layer_parameters(model, vocab_size, kind)
    split = sum(one.size for one in found if one.split_dim is not None)
    return Count(split, sum(one.size for one in found) - split)


def layer_parameters(spec: Spec) -> list[int]:
    """Parameters of each layer in build order; a tied head counts without its matrix."""
    kinds = layer_kinds(spec)
    known = {kind: sum(count_of(spec, kind)) for kind in set(kinds)}
    counts = [known[kind] for kind in kinds]
    return [*counts[:-1], counts[-1] - _tied_size(spec)] if is_tied(spec) else counts


def _tied_size(spec: Spec) -> int:
    return spec.vocab_size * spec.model.width


def is_tied(spec: Spec) -> bool:
    return spec.model.tied_embeddings and layer_kinds(spec)[-1] == "head"


def parameters(spec: Spec) -> int:
    return sum(layer_parameters(spec))


def stage_bounds(spec: Spec) -> list[tuple[int, int]]:
    """First and one-past-last layer index of each pipeline stage. Blocks are spread evenly; every other layer stays
    with the block before it, and the embedding with the first block."""
    kinds = layer_kinds(spec)
    blocks = [index for index, kind in enumerate(kinds) if kind.endswith("_block")]
    base, extra = divmod(len(blocks), spec.parallel.stages)
    bounds, start, taken = [], 0, 0
    for stage in range(spec.parallel.stages):
        taken += base + (stage < extra)
        end = blocks[taken] if taken < len(blocks) else len(kinds)
        bounds.append((start, end))
        start = end
    return bounds


def stage_parameters(spec: Spec) -> list[int]:
    """Parameters that each rank of a stage holds. In a pipeline the last stage holds a copy of a tied embedding."""
    kinds, tensor = layer_kinds(spec), spec.parallel.tensor
    known = {kind: count_of(spec, kind).on_a_rank(tensor) for kind in set(kinds)}
    held = [known[kind] for kind in kinds]
    if is_tied(spec) and spec.parallel.stages == 1:
        held[-1] -= _tied_size(spec)
    return [sum(held[start:end]) for start, end in stage_bounds(spec)]


def tokens_per_step(spec: Spec) -> int:
    return spec.batch.global_batch_size * spec.model.context
