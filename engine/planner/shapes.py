"""Shapes of pipeline stages: layers, parameters and FLOPs of each."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, replace
from functools import lru_cache

from engine.model_math import adapters, flops
from engine.model_math import counts as arithmetic
from engine.model_math.counts import LayerKind
from engine.planner.traits import OWN, EngineTraits
from engine.spec.parts import Adapter, Data, Model, Parallel
from engine.spec.spec import Spec

SUBLAYERS: dict[str, tuple[str, ...]] = {
    "decoder_block": ("attention", "feed_forward"),
    "window_block": ("window_attention", "feed_forward"),
    "encoder_block": ("masked_attention", "feed_forward"),
    "cross_block": ("attention", "cross_attention", "feed_forward"),
}


@dataclass(frozen=True, slots=True)
class StageShape:
    """Parameters and work of one pipeline stage."""

    stage: int
    blocks: dict[LayerKind, int]  # kind -> how many
    ends: tuple[LayerKind, ...]  # other layers: embedding, norm, head
    parameters: int  # with those of adapters
    trained: int  # of them; the others are frozen
    forward: flops.Forward  # all layers, one sequence, all tensor ranks together
    num_tensors: int  # parameter tensors
    largest_tensor: int  # elements of the largest one on a tensor rank
    vocabulary: int  # parameters in tables of tokens: embedding, head


def stage_shapes(spec: Spec, trainer: EngineTraits = OWN) -> tuple[StageShape, ...]:
    """Return the shape of every stage. Cached, because a search asks for the same few repeatedly."""
    shapes, tensor = (
        _shapes(spec.model, spec.data, spec.adapter, spec.parallel.stages, spec.parallel.tensor),
        spec.parallel.tensor,
    )
    is_frozen = spec.adapter.is_on
    if tensor == 1 or not trainer.splits_head:
        return shapes
    return tuple(
        replace(
            shape,
            parameters=shape.parameters - removed,
            trained=shape.trained - (0 if is_frozen else removed),
        )
        for shape in shapes
        for removed in (shape.vocabulary - shape.vocabulary // tensor,)
    )


@lru_cache(maxsize=512)
def _shapes(model: Model, data: Data, adapter: Adapter, stages: int, tensor: int) -> tuple[StageShape, ...]:
    spec = Spec(model=model, data=data, adapter=adapter, parallel=Parallel(stages=stages, tensor=tensor))
    kinds, work = arithmetic.layer_kinds(spec), flops.layers(spec)
    counts, layers_trained = arithmetic.stage_parameters(spec), adapters.trained_per_layer(spec)
    found = []
    for stage, (start, end) in enumerate(arithmetic.stage_bounds(spec)):
        own = kinds[start:end]
        blocks = Counter(kind for kind in own if kind in SUBLAYERS)
        ends = tuple(kind for kind in own if kind not in SUBLAYERS)
        layers = work[start:end]
        forward = flops.Forward(
            sum(one.matrices for one in layers), sum(one.scores for one in layers),
            sum(one.needed_scores for one in layers), sum(one.again for one in layers),
        )  # fmt: skip
        tensors = sum(8 * len(SUBLAYERS[kind]) // 2 * many for kind, many in blocks.items()) + 2 * len(ends)
        largest, tables = _largest_tensor(spec, bool(blocks), ends), len({"embed", "head"} & set(ends))
        if arithmetic.is_tied(spec) and stages == 1:
            tables = 1
        vocabulary = tables * spec.vocab_size * model.width
        total = trained = counts[stage]
        if adapter.is_on:
            trained = sum(count.on_a_rank(tensor) for count in layers_trained[start:end])
            total += trained - (sum(arithmetic.count_of(spec, "class_head")) if "class_head" in ends else 0)
        found.append(
            StageShape(stage, dict(blocks), ends, total, trained, forward, tensors, largest, vocabulary)
        )
    return tuple(found)


def _largest_tensor(spec: Spec, has_blocks: bool, ends: tuple[LayerKind, ...]) -> int:
    model, tensor = spec.model, spec.parallel.tensor
    queries = model.query_width + 2 * model.kv_width
    block = model.width * max(model.ffn_width, queries) // tensor if has_blocks else 0
    return max(block, spec.vocab_size * model.width if {"embed", "head"} & set(ends) else 0)
