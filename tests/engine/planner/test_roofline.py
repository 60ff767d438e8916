"""Work of a step and ceilings of devices: invariants over 200 generated specs."""

from __future__ import annotations

import random

import pytest

from engine.hardware import peaks
from engine.model_math import flops
from engine.planner import profile_from_peak
from engine.planner.rates import Work
from engine.planner.roofline import get_ceilings, step_work
from engine.spec.spec import Spec, SpecError, parse

pytestmark = pytest.mark.slow

SEED = 13


def random_specs(count: int, seed: int = SEED) -> list[Spec]:
    pick, found = random.Random(seed), []
    while len(found) < count:
        heads = pick.choice((2, 4, 8))
        micro, data, turns = pick.choice((1, 2, 4)), pick.choice((1, 2, 4)), pick.choice((1, 2, 4))
        values = {
            "name": "random",
            "model": {
                "layers": pick.choice((2, 4, 8)), "width": heads * pick.choice((16, 32, 64)), "heads": heads,
                "context": pick.choice((32, 128, 512)), "ffn_width": pick.choice((64, 128, 512)),
            },
            "batch": {"micro_batch_size": micro, "global_batch_size": micro * data * turns},
            "parallel": {
                "data": data, "tensor": pick.choice((1, 2)), "stages": pick.choice((1, 2)),
                "zero_stage": pick.choice((0, 1)),
                "activation_checkpointing": pick.choice(("none", "selective", "full")),
            },
            "optimiser": {"name": pick.choice(("adamw", "sgd"))},
        }  # fmt: skip
        try:
            found.append(parse(values))
        except SpecError:
            continue
    return found


def work_of(spec: Spec, dtype: str = "fp32", **changes: dict[str, object]) -> dict[str, Work]:
    parts = {name: getattr(spec, name).model_copy(update=update) for name, update in changes.items()}
    return step_work(spec.model_copy(update=parts), dtype, "cpu")


@pytest.mark.parametrize("spec", random_specs(200), ids=range(200))
def test_work_of_a_step(spec: Spec) -> None:
    work = work_of(spec)
    assert all(one.flops > 0 and one.bytes > 0 for one in work.values())
    assert work["backward_s"].flops > work["forward_s"].flops, "gradients of inputs and of weights"
    # All ranks together do the products of the step; tensor ranks repeat the head
    ranks = spec.parallel.world_size
    whole = ranks * (work["forward_s"].flops + work["backward_s"].flops)
    assert whole >= 0.95 * flops.model_per_step(spec)
    if spec.parallel.tensor == 1:
        assert whole == pytest.approx(flops.hardware_per_step(spec), rel=0.1)
    # Twice the micro-batches: twice the passes, the same update
    twice = work_of(spec, batch={"global_batch_size": 2 * spec.batch.global_batch_size})
    assert twice["forward_s"].flops == pytest.approx(2 * work["forward_s"].flops)
    if spec.parallel.stages == 1:  # a pipeline with one micro-batch keeps what others compute again
        assert twice["backward_s"].bytes == pytest.approx(2 * work["backward_s"].bytes)
    assert twice["optimiser_s"] == work["optimiser_s"]
    # A larger micro-batch reads the weights less often
    sizes = ("micro_batch_size", "global_batch_size")
    wide = work_of(spec, batch={name: 2 * getattr(spec.batch, name) for name in sizes})
    assert wide["forward_s"].flops == pytest.approx(2 * work["forward_s"].flops)
    assert wide["forward_s"].bytes < 2 * work["forward_s"].bytes
    # Recomputation repeats work and never saves any
    plain = work_of(spec, parallel={"activation_checkpointing": "none"})
    assert work["backward_s"].flops >= plain["backward_s"].flops
    # Half the bytes of a value, the same products
    half = work_of(spec, "bf16")
    assert half["forward_s"].flops == work["forward_s"].flops
    assert half["forward_s"].bytes < work["forward_s"].bytes


@pytest.mark.parametrize("peak", peaks.PEAKS, ids=lambda peak: peak.name)
def test_ceilings_of_every_device_in_the_table(peak) -> None:
    found = get_ceilings(profile_from_peak(peak))
    assert found is not None and found.standing == "estimated"
    for dtype, rate in found.flops_per_s.items():
        ridge = found.ridge(dtype)
        assert found.attainable(ridge, dtype) == pytest.approx(rate)
        assert found.attainable(ridge / 10, dtype) == pytest.approx(rate / 10)
        assert found.attainable(ridge * 10, dtype) == rate
