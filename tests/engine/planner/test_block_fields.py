"""Activations that the planner expects of random blocks, against what autograd saves."""

from __future__ import annotations

import pytest
import torch

from engine.model_math import counts
from engine.planner.activations import SUBLAYERS, DeviceTraits, bytes_per_token
from engine.rank.bench.trace_constants import _record_saved_tensors
from engine.rank.model.build import build_layer
from engine.spec.spec import Spec
from tests.engine.rank.attempts import tiny
from tests.engine.rank.random_models import draw_model, objective_of

CONTEXT = 64
TOLERANCE = 0.06  # of the bytes of a block
DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16}
SIZES = {"width": 64, "head_dim": 16, "ffn_width": 192, "context": CONTEXT}


def saved_bytes(spec: Spec, kind: str, dtype: torch.dtype, sequences: int) -> int:
    block = build_layer(spec, counts.layer_kinds(spec).index(kind)).to(dtype).train()  # type: ignore[arg-type]
    shape, size = (sequences, CONTEXT, spec.model.width), (1, spec.model.heads, CONTEXT, CONTEXT)
    x, source = (torch.randn(shape, dtype=dtype, requires_grad=True) for _ in range(2))
    keys = torch.ones(sequences, 1, 1, CONTEXT, dtype=torch.bool)
    bias = torch.randn(size, dtype=dtype, requires_grad=True) if spec.model.positions == "relative" else None
    context = {"cross_block": (None, bias, source, keys), "encoder_block": (keys, bias)}.get(kind, ())
    weights = {one.untyped_storage().data_ptr() for one in block.parameters()}
    with _record_saved_tensors(weights) as held:
        block.run_block(x, *context)
    return sum(storage.nbytes() for storage in held.values())


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("seed", range(40))
def test_a_random_block_keeps_the_expected_bytes(seed: int, dtype: str) -> None:
    fields = draw_model(seed, ("decoder", "decoder", "encoder", "encoder-decoder")) | SIZES
    spec = tiny(model=fields, data={"objective": objective_of(fields)})
    for kind in sorted({kind for kind in counts.layer_kinds(spec) if kind in SUBLAYERS}):
        one, two = (saved_bytes(spec, kind, DTYPES[dtype], sequences) for sequences in (1, 2))
        expected = sum(bytes_per_token(spec, dtype, name, DeviceTraits(False)) for name in SUBLAYERS[kind])
        assert expected == pytest.approx((two - one) / CONTEXT, rel=TOLERANCE), kind
