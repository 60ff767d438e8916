"""Exact counts of a decoder: parameters, FLOPs and tokens. One multiply-add is 2 FLOPs."""

from __future__ import annotations

from engine.spec import Spec


def block_parameters(spec: Spec) -> int:
    """Query, key, value, output, both feed-forward matrices, all with bias, and two LayerNorms."""
    h, f = spec.model.width, spec.model.ffn_width
    return 4 * (h * h + h) + (h * f + f) + (f * h + h) + 2 * 2 * h


def layer_parameters(spec: Spec) -> list[int]:
    """Parameters of each layer in build order: embedding, blocks, final norm, head."""
    h, vocab = spec.model.width, spec.vocab_size
    embedding = vocab * h + spec.model.context * h
    return [embedding, *[block_parameters(spec)] * spec.model.layers, 2 * h, h * vocab]


def parameters(spec: Spec) -> int:
    return sum(layer_parameters(spec))


def stage_bounds(spec: Spec) -> list[tuple[int, int]]:
    """First and one-past-last layer index of each pipeline stage; blocks are spread evenly, the norm and head
    go with the last stage and the embedding with the first."""
    layers, stages = spec.model.layers, spec.parallel.stages
    base, extra = divmod(layers, stages)
    bounds, start = [], 0
    for stage in range(stages):
        blocks = base + (stage < extra)
        end = start + blocks + (stage == 0) + 2 * (stage == stages - 1)
        bounds.append((start, end))
        start = end
    return bounds


def stage_parameters(spec: Spec) -> list[int]:
    per_layer = layer_parameters(spec)
    return [sum(per_layer[start:end]) for start, end in stage_bounds(spec)]


def tokens_per_step(spec: Spec) -> int:
    return spec.batch.global_batch_size * spec.model.context


def flops_per_token(spec: Spec) -> float:
    """Model FLOPs of forward and backward per token: every matrix once forward, twice backward; attention
    scores halved because they are causal; recomputation not counted (Megatron's convention)."""
    h, f, s = spec.model.width, spec.model.ffn_width, spec.model.context
    matrices = spec.model.layers * (2 * 4 * h * h + 2 * 2 * h * f) + 2 * h * spec.vocab_size
    scores = spec.model.layers * 4 * h * s * (s + 1) / (2 * s)
    return 3 * (matrices + scores)
