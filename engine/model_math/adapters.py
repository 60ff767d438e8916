"""Counts of adapters and of what a run trains."""

from __future__ import annotations

from typing import NamedTuple

from engine.model_math import counts
from engine.model_math.counts import Count
from engine.spec.adapters import FUSED, HEAD, AdaptedMatrix, adapted_matrices
from engine.spec.spec import Spec

ROW_SPLIT = ("output", "down")  # split by input features under tensor parallelism


class AdapterShape(NamedTuple):
    """One adapter: its layer, its sublayer, inputs and outputs of its matrix, and the way that this is split."""

    layer: int
    sublayer: str  # attention, cross_attention, feed_forward or head
    part: str
    inputs: int
    outputs: int

    def count(self, rank: int) -> Count:
        """Return its parameters: those that tensor parallelism splits, and those that every tensor rank holds."""
        a, b = rank * self.inputs, rank * self.outputs
        if self.sublayer == HEAD:
            return Count(0, a + b)
        return Count(a, b) if self.part in ROW_SPLIT else Count(b, a)


def adapter_shapes(spec: Spec) -> list[AdapterShape]:
    return [shape for matrix in adapted_matrices(spec) for shape in _shapes_of(spec, matrix)]


def trained_per_layer(spec: Spec) -> list[Count]:
    """Return the parameters that each layer trains, in build order; a tied head counts 0."""
    kinds = counts.layer_kinds(spec)
    if not spec.adapter.is_on:
        known = {kind: counts.count_of(spec, kind) for kind in set(kinds)}
        found = [known[kind] for kind in kinds]
        return [*found[:-1], Count(0, 0)] if counts.is_tied(spec) else found
    found = [counts.count_of(spec, kind) if kind == "class_head" else Count(0, 0) for kind in kinds]
    for shape in adapter_shapes(spec):
        own, before = shape.count(spec.adapter.rank), found[shape.layer]
        found[shape.layer] = Count(before.split + own.split, before.whole + own.whole)
    return found


def trained_parameters(spec: Spec) -> int:
    return sum(sum(count) for count in trained_per_layer(spec))


def adapter_parameters(spec: Spec) -> int:
    return sum(sum(shape.count(spec.adapter.rank)) for shape in adapter_shapes(spec))


def flops_saved(spec: Spec) -> float:
    """Return the FLOPs of a step that adapters save: frozen matrices have no gradient; adapters add their own."""
    if not spec.adapter.is_on:
        return 0.0
    tokens = counts.tokens_per_step(spec)
    frozen = counts.parameters(spec) - _tables(spec)
    return 2.0 * tokens * frozen - 6.0 * tokens * adapter_parameters(spec)


def _tables(spec: Spec) -> int:
    """Parameters without frozen products: embeddings (a tied one is the head's too), and a head that is trained."""
    kinds = counts.layer_kinds(spec)
    embed = 0 if counts.is_tied(spec) else sum(counts.count_of(spec, "embed"))
    return embed + (sum(counts.count_of(spec, "class_head")) if kinds[-1] == "class_head" else 0)


def _shapes_of(spec: Spec, matrix: AdaptedMatrix) -> list[AdapterShape]:
    model = spec.model
    rows = {"query": model.query_width, "key": model.kv_width, "value": model.kv_width}
    rows |= {"gate": model.ffn_width, "up": model.ffn_width}
    sublayer, _, leaf = matrix.name.rpartition(".")
    outputs = {part: rows.get(part, model.width) for part in matrix.parts}
    if leaf in FUSED and leaf in matrix.parts:
        outputs = {leaf: sum(rows[part] for part in FUSED[leaf])}
    if matrix.name == HEAD:
        outputs = {HEAD: spec.vocab_size}
    inputs = {"down": model.ffn_width, "output": model.query_width}.get(leaf, model.width)
    return [
        AdapterShape(matrix.layer, sublayer or HEAD, part, inputs, size) for part, size in outputs.items()
    ]
