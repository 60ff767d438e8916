"""Memory of plans: what ZeRO 3 holds, places, capacities, offloading, checkpoints, partitions."""

from __future__ import annotations

import dataclasses
import random
from typing import Any

import pytest

from engine.hardware.peaks import PEAKS, find_peak
from engine.model_math import counts
from engine.planner import (
    EngineTraits,
    HardwareProfile,
    Link,
    Plan,
    nearest_fit,
    plan,
    profile_from_peak,
    search,
)
from engine.planner.activations import stage_shapes
from engine.planner.memory import REUSE_ELEMENTS, gathered_elements
from engine.spec.checks import refuse_impossible
from engine.spec.spec import Spec, SpecError, from_yaml, parse

GIB = 1024**3
A100, H100 = (
    profile_from_peak(next(p for p in PEAKS if p.name == name)) for name in ("A100 SXM 80", "H100 SXM")
)
CPU = HardwareProfile(
    "EPYC", "cpu", "measured", "a probe", {"fp32": 4e10}, memory_bytes=8 * GIB, memory_bytes_per_s=1e10,
    within_node=Link(3e-4, 8e8), devices_per_node=2, node_memory_bytes=16 * GIB,
)  # fmt: skip
# Published or ideal: 175 B over 1,024 devices holds 16 bytes a parameter / 1,024; MPT-30B ran on eight A100 of 80 GB.
ZERO3_175B = """
model: {layers: 96, width: 12288, heads: 96, ffn_width: 49152, context: 2048, tied_embeddings: true}
data: {vocab_size: 50304}
batch: {global_batch_size: 1024, micro_batch_size: 1}
parallel: {data: 1024, zero_stage: 3, activation_checkpointing: full}
precision: {dtype: bf16}
"""
ZERO3_30B = """
model: {layers: 48, width: 7168, heads: 56, ffn_width: 28672, context: 2048, tied_embeddings: true}
data: {vocab_size: 50304}
batch: {global_batch_size: 504, micro_batch_size: 3}
parallel: {data: 8, zero_stage: 3, activation_checkpointing: full}
precision: {dtype: bf16}
"""


def place(found: Plan, name: str) -> Any:
    return next(use for use in found.places if use.place == name)


def test_175_b_on_1024_devices_holds_its_share_of_the_states():
    found = plan(from_yaml(ZERO3_175B), A100)
    stage = found.peak
    states = stage.parameters_bytes + stage.optimiser_bytes + stage.gradients_bytes
    assert 2.3 * GIB < states < 2.8 * GIB and found.fits() == "fits"
    assert stage.total_bytes < 20 * GIB


def test_30_b_fits_eight_devices_as_published():
    """Its states alone take 56 GiB of each device, so little is spare."""
    found = plan(from_yaml(ZERO3_30B), A100)
    assert found.fits() != "will not fit" and 60 * GIB < found.peak.total_bytes < 72 * GIB


def test_a_rank_that_cannot_hold_the_whole_model_at_first_is_warned_of():
    """DeepSpeed shards the model after it has moved all of it to the device."""
    big, small = plan(from_yaml(ZERO3_175B), A100), plan(from_yaml(ZERO3_30B), A100)
    assert [warning.code for warning in big.warnings] == ["start_device"]
    assert "80.0 GiB" in big.warnings[0].sentence and small.warnings == ()


def random_zero3(rng: random.Random) -> Spec:
    heads = rng.choice((8, 16, 32, 64, 96))
    width = heads * 128
    return parse({
        "model": {"layers": rng.randint(2, 120), "width": width, "heads": heads, "ffn_width": 4 * width,
                  "context": rng.choice((512, 2048, 8192))},
        "data": {"vocab_size": rng.choice((1024, 32000, 50304))},
        "batch": {"micro_batch_size": 1, "global_batch_size": 1024},
        "parallel": {"data": rng.choice((2, 8, 64, 1024)), "zero_stage": 3,
                     "activation_checkpointing": rng.choice(("none", "selective", "full"))},
        "precision": {"dtype": "bf16"},
    })  # fmt: skip


def test_zero_3_on_a_gpu_holds_no_more_than_the_share_and_one_window_of_gathers():
    """40 random models on 2 to 1,024 devices: nothing grows with the whole model beyond DeepSpeed's own limits."""
    rng = random.Random(13)
    for _ in range(40):
        spec = random_zero3(rng)
        [shape] = stage_shapes(spec)
        stage = plan(spec, A100).peak
        share = 20 * shape.parameters / spec.parallel.data  # states and the update's fp32 gradients
        kept, gather = gathered_elements(spec, shape)
        assert kept <= REUSE_ELEMENTS / 2 + shape.largest_tensor and gather <= shape.parameters
        buckets = 2 * 2 * 50e6
        held = stage.total_bytes - stage.activations_bytes - stage.logits_bytes - stage.framework_bytes
        assert held <= share + 2 * (kept + 2 * gather) + buckets, (counts.parameters(spec), spec.parallel)


OFFLOADS = ({"offload_optimiser": "host"}, {"offload_optimiser": "host", "offload_parameters": "host"})


@pytest.mark.parametrize("zero_stage", [1, 2, 3])
def test_offloading_on_a_cpu_frees_nothing_and_says_so(zero_stage: int):
    for more in OFFLOADS[: 2 if zero_stage == 3 else 1]:
        parallel = {"data": 2, "zero_stage": zero_stage}
        before, after = (plan(parse({"parallel": parallel | extra}), CPU) for extra in ({}, more))
        assert after.peak.total_bytes >= before.peak.total_bytes and after.peak.host_bytes == 0
        assert "offload_on_cpu" in {warning.code for warning in after.warnings}


def test_no_plan_for_a_cpu_offloads_to_its_own_memory():
    """20 random specs that do not fit, and a search."""
    rng = random.Random(14)
    for _ in range(20):
        model = {"layers": rng.randint(6, 24), "width": 512, "heads": 8, "ffn_width": 2048, "context": 256}
        spec = parse(
            {"model": model, "batch": {"micro_batch_size": rng.choice((8, 16, 32)), "global_batch_size": 64}}
        )
        room = dataclasses.replace(
            CPU, memory_bytes=int(rng.uniform(0.4, 0.95) * plan(spec, CPU).peak.total_bytes)
        )
        found = nearest_fit(spec, room)
        assert found is None or found[0].parallel.offload_optimiser == "none"
    best = search(Spec(), CPU, devices=4).best
    assert best and all(one.spec.parallel.offload_optimiser == "none" for one in best)


def heavy(offload: str) -> Spec:
    return parse({
        "model": {"layers": 32, "width": 4096, "heads": 32, "ffn_width": 16384, "context": 2048},
        "data": {"vocab_size": 32000},
        "batch": {"global_batch_size": 8, "micro_batch_size": 1},
        "parallel": {"data": 8, "zero_stage": 3, "activation_checkpointing": "full", "offload_optimiser": offload},
        "precision": {"dtype": "bf16"},
    })  # fmt: skip


@pytest.mark.parametrize(
    ("share", "label"), [(None, "unknown"), (1.2, "will not fit"), (0.9, "tight"), (0.5, "fits")]
)
def test_offloaded_states_are_held_against_the_memory_of_the_node(share: float | None, label: str):
    spec = heavy("host")
    needed = place(plan(spec, A100), "host").needed_bytes
    memory = int(needed / share) if share else None
    found = plan(spec, dataclasses.replace(A100, node_memory_bytes=memory))
    assert found.fits() == label
    host = place(found, "host")
    assert host.capacity_bytes == memory and host.parts["offloaded states"] > 12 * counts.parameters(spec)
    codes = {warning.code for warning in found.warnings}
    assert ("host_unknown" in codes) == (memory is None) and ("host_full" in codes) == (
        label == "will not fit"
    )


def test_an_offloading_plan_is_offered_only_where_the_host_is_known_to_hold_it():
    tight = dataclasses.replace(A100, memory_bytes=16 * GIB, devices_per_node=8)
    spec = parse(heavy("none").model_dump() | {"batch": {"global_batch_size": 8, "micro_batch_size": 1}})
    unknown = nearest_fit(spec, tight)
    known = nearest_fit(spec, dataclasses.replace(tight, node_memory_bytes=1024 * GIB))
    small = nearest_fit(spec, dataclasses.replace(tight, node_memory_bytes=32 * GIB))
    for found in (unknown, small):
        assert found is None or found[0].parallel.offload_optimiser == "none"
    assert known is not None and known[1].fits() in ("fits", "tight")


@pytest.mark.parametrize(("every", "keeps"), [(0, False), (100, True), (200, False), (300, False)])
def test_the_copy_of_a_checkpoint_is_counted_from_the_first_save(every: int, keeps: bool):
    """4 bytes of weights and 8 of Adam's state per parameter, over the data ranks; of 200 steps."""
    spec = parse({"parallel": {"data": 2}, "budget": {"checkpoint_every": every, "steps": 200}})
    copy = 12 * counts.parameters(spec) / 2
    on_cpu, on_gpu = plan(spec, CPU), plan(spec, A100, dtype="bf16")
    during = (
        on_cpu.peak.moments["update"]
        - plan(parse({"parallel": {"data": 2}, "budget": {"checkpoint_every": 0}}), CPU).peak.moments[
            "update"
        ]
    )
    assert during == pytest.approx(copy if keeps else 0.0, abs=1)
    assert on_gpu.peak.checkpoint_bytes == 0 and on_gpu.peak.checkpoint_host_bytes == pytest.approx(copy)
    assert sum(size for cause, size in place(on_gpu, "host").parts.items() if "checkpoint" in cause) == (
        pytest.approx(2 * copy)
    )


def test_checkpoints_are_held_against_the_disk():
    spec = parse({"budget": {"checkpoint_every": 10, "keep_checkpoints": 3, "steps": 200}})
    each = 12 * counts.parameters(spec)
    full = plan(spec, dataclasses.replace(CPU, node_disk_bytes=int(2 * each)))
    assert place(full, "disk").needed_bytes == pytest.approx(4 * each)  # three, and one that is being written
    assert "disk_full" in {warning.code for warning in full.warnings}
    assert place(plan(spec, CPU), "disk").label == "unknown"


def test_parts_of_each_place_add_up():
    for zero in (0, 1, 2, 3):
        for profile in (CPU, A100, H100):
            for use in plan(parse({"parallel": {"data": 2, "zero_stage": zero}}), profile).places:
                assert sum(use.parts.values()) == pytest.approx(use.needed_bytes)


def test_a_plan_for_a_mig_instance_has_the_memory_of_its_slice():
    whole, part = (find_peak(f"NVIDIA A100-SXM4-80GB{more}") for more in ("", " MIG 1g.10gb"))
    assert whole and part
    spec = parse({"parallel": {"data": 1, "zero_stage": 0}, "model": {"layers": 12, "width": 768, "heads": 12,
                  "ffn_width": 3072, "context": 1024}, "data": {"vocab_size": 50304}})  # fmt: skip
    on_board, on_slice = plan(spec, profile_from_peak(whole)), plan(spec, profile_from_peak(part))
    assert on_slice.memory_bytes == on_board.memory_bytes / 8
    assert on_board.fits() == "fits" and on_slice.fits() == "will not fit"
    assert on_board.time and on_slice.time and on_slice.time.step_s.point > 5 * on_board.time.step_s.point
    pair = plan(parse({"parallel": {"data": 2}}), profile_from_peak(part))
    assert pair.time is None and "links" in pair.why_not


def test_every_tensor_rank_computes_all_logits_unless_the_trainer_splits_them():
    spec = parse({"parallel": {"tensor": 4, "data": 1, "zero_stage": 0}})
    own, split = (
        plan(spec, A100, trainer=trainer).peak for trainer in (EngineTraits(), EngineTraits(splits_head=True))
    )
    tokens = spec.batch.micro_batch_size * spec.model.context
    assert own.logits_bytes == 12 * tokens * spec.vocab_size
    assert split.moments["loss"] < own.moments["loss"]
    chunked = plan(spec, A100, trainer=EngineTraits(loss_chunk_tokens=tokens // 8)).peak
    assert chunked.moments["loss"] < own.moments["loss"] - 0.8 * own.logits_bytes


@pytest.mark.parametrize(
    ("dtype", "kv_heads", "family", "architecture", "keeps"),
    [
        ("bf16", None, "decoder", "ampere", False),
        ("bf16", 2, "decoder", "ampere", False),
        ("fp32", 2, "decoder", "ampere", True),
        ("fp32", None, "decoder", "ampere", False),
        ("bf16", 2, "encoder", "ampere", True),
        ("bf16", None, "encoder", "ampere", False),
        ("fp16", 2, "decoder", "volta", True),
    ],
)
def test_scores_are_kept_where_torch_has_no_fused_kernel(
    dtype: str, kv_heads: int | None, family: str, architecture: str, keeps: bool
):
    data = {"objective": "masked"} if family == "encoder" else {}
    model = {
        "family": family,
        "kv_heads": kv_heads,
        "context": 4096,
        "heads": 8,
        "width": 512,
        "ffn_width": 2048,
    }
    spec = parse({"model": model, "data": data, "batch": {"micro_batch_size": 1, "global_batch_size": 2}})
    device = dataclasses.replace(A100, architecture=architecture)
    held = plan(spec, device, dtype=dtype).peak.activations_bytes
    scores = 4 * 8 * 4096 * 4096 * spec.model.layers
    assert (held > scores) == keeps


def test_random_layouts_on_a_cpu_fill_host_and_device_alike():
    """60 random layouts: the host of a CPU node holds its ranks, whatever is offloaded."""
    rng = random.Random(15)
    for _ in range(60):
        parallel = {"data": rng.choice((1, 2, 4)), "zero_stage": rng.choice((0, 1, 2, 3))}
        if parallel["zero_stage"]:
            parallel["offload_optimiser"] = rng.choice(("none", "host"))
        spec = parse({"parallel": parallel, "batch": {"global_batch_size": 32, "micro_batch_size": 8}})
        try:
            refuse_impossible(spec)
        except SpecError:
            continue
        found = plan(spec, CPU)
        ranks = min(2, parallel["data"])
        assert place(found, "host").needed_bytes == pytest.approx(ranks * found.peak.total_bytes)
