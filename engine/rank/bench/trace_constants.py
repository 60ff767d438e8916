"""Measurement of the table of activation memory.

Command: python -m engine.rank.bench.trace_constants

Saved-tensor hooks count every tensor that autograd saves for the backward pass. Each sublayer runs at a dozen sizes,
with one and two sequences; the difference excludes what does not grow with the batch. Bytes per token are a linear
function of the sizes; the coefficients are solved for and must be exact. The planner reads the table, and a test
compares it with new measurements.
"""

from __future__ import annotations

import itertools
import json
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any
from unittest import mock

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode

from engine.planner.constants import SIZES, TABLE, TABLE_VERSION, row_key
from engine.rank.model import tensor_parallel
from engine.rank.model.blocks import CrossBlock, DecoderBlock, EncoderBlock
from engine.spec.spec import Spec, parse

DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16}
# (heads, key/value heads, size of a head, feed-forward width, positions, tensor ranks): enough to solve for all sizes.
POINTS = (
    (2, 2, 8, 24, 16, 1), (4, 4, 8, 40, 16, 1), (2, 2, 16, 56, 32, 1), (4, 4, 8, 72, 48, 1), (4, 4, 16, 40, 16, 2),
    (8, 8, 8, 88, 32, 2), (2, 2, 24, 104, 64, 1), (8, 8, 16, 120, 16, 4), (6, 6, 8, 48, 32, 2),
)  # fmt: skip
GROUPED_HEADS = (
    (2, 1),
    (4, 2),
    (2, 1),
    (4, 2),
    (4, 2),
    (8, 2),
    (2, 1),
    (8, 4),
    (6, 2),
)  # heads and key/value heads


def main() -> int:
    torch.set_num_threads(1)
    rows = measure_table()
    text = ",\n".join(f'"{key}":{json.dumps(row, separators=(",", ":"))}' for key, row in rows.items())
    TABLE.write_text(f'{{"version":{TABLE_VERSION},"torch":"{torch.__version__}","rows":{{\n{text}\n}}}}\n')
    sys.stdout.write(f"{len(rows)} rows written to {TABLE}\n")
    return 0


def measure_table(only: str | None = None) -> dict[str, dict[str, int]]:
    """Return key (engine.planner.constants.row_key) -> bytes per token by size, operations forward and backward."""
    found = {}
    choices = itertools.product(
        ("attention", "masked_attention", "cross_attention", "feed_forward"), DTYPES, ("layernorm", "rmsnorm"),
        (False, True), (False, True), (False, True),
    )  # fmt: skip
    for sublayer, dtype, norm, is_special, has_dropout, is_shared in choices:
        if sublayer == "feed_forward" and is_shared:
            continue
        if sublayer == "cross_attention" and is_special:
            continue  # cross-attention has no positions
        key = row_key(sublayer, dtype, norm, is_special, has_dropout, is_shared)
        if only is None or only == key:
            found[key] = _solve_sublayer(sublayer, dtype, norm, is_special, has_dropout, is_shared)
    return found


def _solve_sublayer(
    sublayer: str, dtype: str, norm: str, special: bool, dropout: bool, shared: bool
) -> dict[str, int]:
    rows, bytes_per_token = [], []
    operations = (0, 0)
    for point, groups in zip(POINTS, GROUPED_HEADS, strict=True):
        heads, keys, size, ffn, positions, ranks = point
        if shared:
            heads, keys = groups
        spec = _build_spec(sublayer, norm, special, dropout, (heads, keys, size, ffn, positions))
        held = [_measure_pass(spec, sublayer, DTYPES[dtype], ranks, count) for count in (1, 2)]
        operations = held[0][1:]
        bytes_per_token.append((held[1][0] - held[0][0]) / positions)
        h, kv = heads * size, keys * size
        rows.append((h, h / ranks, kv / ranks, ffn / ranks, heads / ranks, heads * positions / ranks, 1))
    solution, *_ = np.linalg.lstsq(np.array(rows), np.array(bytes_per_token), rcond=None)
    whole = np.round(solution)
    assert np.abs(np.array(rows) @ whole - bytes_per_token).max() < 0.01, (sublayer, dtype, solution)
    return {name: int(value) for name, value in zip(SIZES, whole, strict=True) if value} | {
        "forward": operations[0],
        "backward": operations[1],
    }


def _build_spec(
    sublayer: str, norm: str, special: bool, dropout: bool, sizes: tuple[int, int, int, int, int]
) -> Spec:
    heads, keys, size, ffn, positions = sizes
    is_forward = sublayer == "feed_forward"
    return parse(
        {
            "model": {
                "width": heads * size, "heads": heads, "kv_heads": keys, "ffn_width": ffn, "context": positions,
                "norm": norm, "feed_forward": "swiglu" if special and is_forward else "gelu",
                "positions": "rotary" if special and not is_forward else "learned",
                "dropout": 0.1 if dropout else 0.0,
            }
        }
    )  # fmt: skip


def _measure_pass(
    spec: Spec, sublayer: str, dtype: torch.dtype, ranks: int, count: int
) -> tuple[int, int, int]:
    """Return the bytes that autograd saves in one pass over `count` sequences, and operations forward and backward."""
    kind = {"masked_attention": EncoderBlock, "cross_attention": CrossBlock}.get(sublayer, DecoderBlock)
    torch.manual_seed(0)
    with mock.patch.object(tensor_parallel.comm, "all_reduce", lambda *_, **__: None):
        block = kind(spec, tensor_parallel.TensorShard(0, ranks)).to(dtype).train()
        run = _select_sublayer(block, sublayer)
        shape = (count, spec.model.context, spec.model.width)
        x, source = (torch.randn(shape, dtype=dtype, requires_grad=True) for _ in range(2))
        keys = torch.ones(count, 1, 1, spec.model.context, dtype=torch.bool)
        weights = {p.untyped_storage().data_ptr() for p in block.parameters()}
        forward, backward = _OperationCounter(), _OperationCounter()
        with _record_saved_tensors(weights) as held, forward:
            out = run(x, source, keys)
        size = sum(storage.nbytes() for storage in held.values())
        with backward:
            out.backward(torch.ones_like(out))
    return size, forward.count, backward.count


def _select_sublayer(block: Any, sublayer: str) -> Callable[[Tensor, Tensor, Tensor], Tensor]:
    def feed_forward(x: Tensor, source: Tensor, keys: Tensor) -> Tensor:
        return x + block.dropout(block.feed_forward(block.feed_forward_norm(x)))

    runners: dict[str, Callable[[Tensor, Tensor, Tensor], Tensor]] = {
        "attention": lambda x, source, keys: x + block._self_attention(x),
        "masked_attention": lambda x, source, keys: x + block._self_attention(x, keys),
        "cross_attention": lambda x, source, keys: x + block._cross_attention(x, source, keys),
        "feed_forward": feed_forward,
    }
    return runners[sublayer]


@contextmanager
def _record_saved_tensors(weights: set[int]) -> Iterator[dict[int, Any]]:
    held: dict[int, Any] = {}

    def pack(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in weights and not isinstance(tensor, nn.Parameter):
            held[storage.data_ptr()] = storage
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        yield held


class _OperationCounter(TorchDispatchMode):
    """Counts the operations that torch dispatches."""

    def __init__(self) -> None:
        super().__init__()
        self.count = 0

    def __torch_dispatch__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        self.count += 1
        return function(*args, **(kwargs or {}))


if __name__ == "__main__":
    sys.exit(main())
