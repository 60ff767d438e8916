"""Step times of GPUs: attention, dispatch, links of groups, offloading, traits of trainers."""

from __future__ import annotations

import dataclasses
import random

import pytest

from engine.hardware.peaks import PEAKS
from engine.planner import OWN, EngineTraits, Link, StepTime, plan, profile_from_peak
from engine.planner.activations import DeviceTraits, activation_memory, stage_shapes
from engine.planner.collectives import group_link
from engine.spec.spec import Spec, parse

PROFILES = {peak.name: profile_from_peak(peak) for peak in PEAKS}
A100, H100 = PROFILES["A100 SXM 80"], PROFILES["H100 SXM"]


def decoder(layers: int, width: int, context: int, **parts: object) -> Spec:
    model = {
        "layers": layers,
        "width": width,
        "heads": max(1, width // 64) if width % 64 == 0 else 64,
        "ffn_width": 4 * width,
    }
    values = {
        "model": model | {"context": context},
        "data": {"vocab_size": 32000}, "batch": {"global_batch_size": 8, "micro_batch_size": 1},
        "parallel": {"data": 1, "zero_stage": 0}, "precision": {"dtype": "bf16"},
    }  # fmt: skip
    return parse(values | parts)


def time_of(spec: Spec, profile: object = A100, trainer: EngineTraits = OWN) -> StepTime:
    found = plan(spec, profile, trainer=trainer).time  # type: ignore[arg-type]
    assert found is not None
    return found


@pytest.mark.parametrize("name", ["A100 SXM 80", "H100 SXM"])
def test_long_contexts_take_longer_than_at_the_rate_of_products(name: str):
    """The same tokens at a context of 65,536 and of 2,048: attention is most of the work and slower than products."""
    profile = PROFILES[name]
    plain = dataclasses.replace(profile, attention_flops_per_s={})
    short, long = decoder(24, 2048, 2048), decoder(24, 2048, 65536)
    slower = [
        time_of(spec, profile).step_s.point / time_of(spec, plain).step_s.point for spec in (short, long)
    ]
    assert 1.0 < slower[0] < 1.2 < 1.5 < slower[1]


def test_a_small_model_takes_the_time_of_its_launches():
    """On a fast device the host launches 6 us operations one after the other."""
    spec = decoder(12, 64, 32)
    [shape] = stage_shapes(spec)
    held = activation_memory(spec, "bf16", shape, DeviceTraits(True, "hopper"))
    found = time_of(spec, H100)
    assert found.phases["forward_s"].point == pytest.approx(8 * held.operations[0] * H100.operation_s)
    slow_host = dataclasses.replace(H100, operation_s=3 * H100.operation_s)
    assert time_of(spec, slow_host).phases["backward_s"].point == pytest.approx(
        3 * found.phases["backward_s"].point
    )
    compiled = time_of(spec, H100, EngineTraits(is_compiled=True))
    assert compiled.phases["forward_s"].point < 0.5 * found.phases["forward_s"].point


def test_a_group_over_nodes_uses_the_network_of_all_its_members():
    """100 random groups: never faster than within a node, never slower than one network share."""
    rng = random.Random(20)
    for _ in range(100):
        profile = PROFILES[rng.choice(("A100 SXM 80", "H100 SXM", "L40S", "V100 SXM 32"))]
        ranks, stride = rng.choice((2, 4, 8, 16, 64, 256)), rng.choice((1, 2, 4, 8))
        link, inside, outside = group_link(profile, ranks, stride), profile.within_node, profile.between_nodes
        assert link and inside and outside
        if ranks * stride <= 8:
            assert link == inside
        else:
            members = max(1, 8 // stride)
            wanted = min(inside.bytes_per_s, outside.bytes_per_s * min(ranks, members))
            assert link.bytes_per_s == (outside.bytes_per_s if members == 1 else wanted)
            assert min(inside.latency_s, outside.latency_s) <= link.latency_s <= outside.latency_s
    assert group_link(dataclasses.replace(A100, between_nodes=None), 64, 1) is None


@pytest.mark.parametrize("zero_stage", [1, 2, 3])
def test_an_offloaded_optimiser_takes_the_hosts_time_and_copies(zero_stage: int):
    layout = {"data": 8, "zero_stage": zero_stage}
    batch = {"global_batch_size": 64, "micro_batch_size": 1}
    plain, away = (
        time_of(decoder(24, 2048, 1024, parallel=layout | more, batch=batch))
        for more in ({}, {"offload_optimiser": "host"})
    )
    slow = dataclasses.replace(A100, host_link=Link(1e-5, 1e9))
    slower = time_of(
        decoder(24, 2048, 1024, parallel=layout | {"offload_optimiser": "host"}, batch=batch), slow
    )
    times = [found.phases["optimiser_s"].point for found in (plain, away, slower)]
    assert times[0] < times[1] / 5 and times[1] < times[2]
    # ZeRO 2 and 3 send gradients after every micro-batch.
    copies = (8 if zero_stage >= 2 else 1) + 1
    owned = plan(decoder(24, 2048, 1024)).num_parameters / 8
    assert times[2] - times[1] == pytest.approx(copies * owned * 2 * (1 / 1e9 - 1 / 31e9), rel=0.05)


def test_every_tensor_rank_computes_the_whole_head():
    batch = {"global_batch_size": 8, "micro_batch_size": 8}
    spec = decoder(4, 2048, 2048, parallel={"data": 1, "zero_stage": 0, "tensor": 8}, batch=batch)
    own, split = (time_of(spec, trainer=EngineTraits(splits_head=splits)) for splits in (False, True))
    assert own.phases["forward_s"].point > 1.5 * split.phases["forward_s"].point


def test_interleaved_stages_idle_less():
    spec = decoder(16, 1024, 1024, parallel={"data": 1, "zero_stage": 0, "stages": 4})
    plain, chunked = (time_of(spec, trainer=EngineTraits(stage_chunks=chunks)) for chunks in (1, 4))
    assert chunked.phases["bubble_s"].point == pytest.approx(plain.phases["bubble_s"].point / 4)


def test_widths_that_fill_no_tile_are_slower():
    times = []
    for width in (13824, 14400):
        spec = decoder(4, width, 1024)
        model = spec.model.model_copy(update={"heads": 64})
        times.append(time_of(spec.model_copy(update={"model": model})).step_s.point)
    work = (14400 / 13824) ** 2
    assert times[1] > 1.1 * work * times[0]


def test_ranges_hold_their_point_on_every_device():
    """80 random specs on random devices."""
    rng = random.Random(21)
    for _ in range(80):
        profile = PROFILES[rng.choice(sorted(PROFILES))]
        dtype = rng.choice(sorted(profile.flops_per_s))
        layout = {"data": rng.choice((1, 8, 64)), "zero_stage": rng.choice((0, 1, 2, 3))}
        layout["activation_checkpointing"] = rng.choice(("none", "selective", "full"))
        spec = decoder(
            rng.randint(1, 48), rng.choice((64, 512, 4096)), rng.choice((128, 2048, 32768)), parallel=layout,
            batch={"global_batch_size": 64, "micro_batch_size": 1}, precision={"dtype": dtype},
        )  # fmt: skip
        found = plan(spec, profile).time
        assert found is not None
        for span in (*found.phases.values(), found.step_s, found.tokens_per_s):
            assert 0 <= span.low <= span.point <= span.high < float("inf")
        assert found.mfu_share and found.mfu_share.point < 1
