"""Activations of frozen layers with adapters, against those of layers that train.

Measured with saved-tensor hooks on the blocks of engine.rank.model (tests/engine/planner/test_frozen.py): a frozen
matrix does not keep its input, and a frozen norm not its normalised input; an adapter keeps both its input, once for
all that read the same, and its [tokens, rank] product. With dropout each adapter keeps its own input and a mask.
"""

from __future__ import annotations

from collections import defaultdict
from functools import lru_cache

from engine.model_math.adapters import ROW_SPLIT, AdapterShape, adapter_shapes
from engine.spec.adapters import HEAD
from engine.spec.spec import Spec

RMSNORM_INPUT_BYTES = 4  # of the normalised input, which is fp32 in every number format
MASK_BYTES = {"cpu": None, "cuda": 1}  # of a dropout mask; None: as wide as a value


@lru_cache(maxsize=512)
def adapters_by_layer(spec: Spec) -> dict[int, list[AdapterShape]]:
    found: dict[int, list[AdapterShape]] = defaultdict(list)
    for shape in adapter_shapes(spec):
        found[shape.layer].append(shape)
    return dict(found)


def count_adapters(spec: Spec, start: int, end: int) -> int:
    """Return the number of adapters in the layers start..end."""
    return sum(len(shapes) for layer, shapes in adapters_by_layer(spec).items() if start <= layer < end)


def changed_bytes(spec: Spec, layer: int, sublayer: str, value: int, on_cuda: bool) -> float:
    """Return the bytes per token by which a sublayer of a frozen layer differs; negative if it keeps less."""
    name = "attention" if sublayer in ("masked_attention", "window_attention") else sublayer
    own = [shape for shape in adapters_by_layer(spec).get(layer, ()) if shape.sublayer == name]
    return sum(_kept_by_adapters(spec, own, value, on_cuda).values()) - _dropped_bytes(spec, sublayer, value)


def head_bytes(spec: Spec, value: int, on_cuda: bool) -> float:
    """Return the bytes per token that a frozen head keeps for its adapter."""
    own = [shape for shapes in adapters_by_layer(spec).values() for shape in shapes if shape.sublayer == HEAD]
    return sum(_kept_by_adapters(spec, own, value, on_cuda).values())


def _dropped_bytes(spec: Spec, sublayer: str, value: int) -> float:
    model = spec.model
    kept = value * model.width + (RMSNORM_INPUT_BYTES * model.width if model.norm == "rmsnorm" else 0)
    if sublayer == "feed_forward":
        return kept + value * model.ffn_width / spec.parallel.tensor
    return kept + (value * model.width if sublayer == "cross_attention" else 0)


def _kept_by_adapters(spec: Spec, own: list[AdapterShape], value: int, on_cuda: bool) -> dict[str, float]:
    """Return input -> bytes per token that adapters keep of it; of attention's output the kernel has kept it."""
    tensor, dropout = spec.parallel.tensor, spec.adapter.dropout
    kept: dict[str, float] = {"products": float(len(own) * spec.adapter.rank * value)}
    for shape in own:
        is_row = shape.part in ROW_SPLIT
        size = value * shape.inputs / (tensor if is_row else 1)
        if dropout:
            mask = (MASK_BYTES["cuda" if on_cuda else "cpu"] or value) * shape.inputs
            kept[f"dropped {shape.part}"] = size + mask
        elif shape.part != "output":
            source = "source" if shape.sublayer == "cross_attention" and shape.part != "query" else "input"
            kept["hidden" if is_row else source] = size
    return kept
