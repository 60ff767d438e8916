"""Exact counts of layers, parameters and tokens."""

from __future__ import annotations

from typing import Literal, NamedTuple

from engine.spec.spec import Spec

LayerKind = Literal[
    "embed", "decoder_block", "encoder_block", "cross_block", "source_norm", "norm", "head", "class_head"
]


class Count(NamedTuple):
    """Parameters of a layer: those that tensor parallelism splits, and those that every tensor rank holds."""

    split: int
    whole: int

    def on_a_rank(self, tensor: int) -> int:
        return self.split // tensor + self.whole


def layer_kinds(spec: Spec) -> list[LayerKind]:
    """The kind of each layer in order, the same in every layout."""
    encoder: list[LayerKind] = ["encoder_block"] * spec.model.num_encoder_layers
    if spec.model.family == "encoder-decoder":
        encoder.append("source_norm")
    decoder: list[LayerKind] = ["cross_block" if encoder else "decoder_block"] * spec.model.num_decoder_layers
    end: tuple[LayerKind, ...] = ("source_norm", "class_head") if has_classes(spec) else ("norm", "head")
    return ["embed", *encoder, *decoder, *end]


def has_classes(spec: Spec) -> bool:
    return spec.data.objective == "classes"


def count_of(spec: Spec, kind: LayerKind) -> Count:
    model = spec.model
    h, f, bias = model.width, model.ffn_width, int(model.biases)
    keys = model.num_kv_heads * (h // model.heads)
    norm = h if model.norm == "rmsnorm" else 2 * h
    # Query, key, value and output, each with a bias; every tensor rank holds the bias of the output.
    attention = Count(2 * h * (h + keys) + bias * (h + 2 * keys), bias * h)
    ways_in = 2 if model.feed_forward == "swiglu" else 1
    feed_forward = Count(ways_in * (h * f + bias * f) + f * h, bias * h)
    block = Count(attention.split + feed_forward.split, attention.whole + feed_forward.whole + 2 * norm)
    learned = model.context * h if model.positions == "learned" else 0
    return {
        "embed": Count(0, spec.vocab_size * h + learned),
        "decoder_block": block,
        "encoder_block": block,
        "cross_block": Count(block.split + attention.split, block.whole + attention.whole + norm),
        "source_norm": Count(0, norm),
        "norm": Count(0, norm),
        "head": Count(0, h * spec.vocab_size),
        "class_head": Count(0, h * model.classes + model.classes),
    }[kind]


def layer_parameters(spec: Spec) -> list[int]:
    """Parameters of each layer in build order; a tied head counts 0."""
    kinds = layer_kinds(spec)
    known = {kind: sum(count_of(spec, kind)) for kind in set(kinds)}
    counts = [known[kind] for kind in kinds]
    return [*counts[:-1], 0] if is_tied(spec) else counts


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
        held[-1] = 0
    return [sum(held[start:end]) for start, end in stage_bounds(spec)]


def tokens_per_step(spec: Spec) -> int:
    return spec.batch.global_batch_size * spec.model.context
