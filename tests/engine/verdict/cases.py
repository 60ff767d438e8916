"""Constructed facts of runs with a known limit."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from engine.spec.spec import parse
from engine.telemetry.metrics import STEP_PHASES
from engine.verdict.facts import ClockFacts, DeviceFacts, Facts, RankFacts

STEPS = 40
WORK = {"forward_s": 0.03, "backward_s": 0.06, "optimiser_s": 0.01, "other_s": 0.002}


def spec(**parts: dict[str, Any]) -> dict[str, Any]:
    values = {
        "model": {"layers": 4},
        "batch": {"global_batch_size": 16, "micro_batch_size": 2},
        "parallel": {"data": 2, "zero_stage": 0},
        "precision": {"dtype": "fp32"},
    }
    merged = {name: values.get(name, {}) | parts.get(name, {}) for name in {*values, *parts}}
    return parse(merged).model_dump()


def facts(*ranks: dict[str, float], steps: int = STEPS, noise: float = 0.01, **more: Any) -> Facts:
    """One mapping of phases per rank, without the time in collectives: each rank waits for the slowest one, then all
    take the `communication_s` of the first one."""
    rng = np.random.default_rng(1)
    transfer = ranks[0].get("communication_s", 0.001)
    drawn = [
        {
            name: ({"data_wait_s": 0.0} | WORK | rank).get(name, 0.0)
            * (1 + noise * rng.standard_normal(steps))
            for name in STEP_PHASES
            if name not in ("communication_s", "bubble_s", "host_gap_s")
        }
        for rank in ranks
    ]
    local = np.array([np.sum(list(rank.values()), axis=0) for rank in drawn])
    step_s = local.max(axis=0) + transfer
    for rank, own in zip(drawn, local, strict=True):
        rank["communication_s"] = step_s - own
    values: dict[str, Any] = {
        "spec": spec(parallel={"data": len(ranks)}, batch={"global_batch_size": 8 * len(ranks)}),
        "ranks": tuple(
            RankFacts(n, 0, n, f"cpu-{n}", phases, payload_bytes=1e6) for n, phases in enumerate(drawn)
        ),
        "devices": tuple(DeviceFacts(f"cpu-{n}", "cpu", {}, 2e9, 8e9) for n in range(len(ranks))),
        "step_s": step_s, "first_step": 6, "last_step": 5 + steps, "world_size": len(ranks), "coverage": 1.0,
    }  # fmt: skip
    return Facts(**values | more)


def pipeline(
    stage_s: list[float],
    micro_batches: int,
    *,
    records_bubble: bool = True,
    transfer_s: float = 0.0,
    steps: int = STEPS,
) -> Facts:
    """A pipeline of stages that take these seconds per micro-batch, a third of it forward, and do nothing else."""
    m, p = micro_batches, len(stage_s)
    step_s = sum(stage_s) + (m - 1) * max(stage_s) + transfer_s
    ranks = []
    for stage, seconds in enumerate(stage_s):
        idle = step_s - m * seconds - transfer_s
        waits = {"communication_s": idle + transfer_s}
        if records_bubble:
            waits = {"communication_s": transfer_s, "bubble_s": idle}
        phases = {
            "data_wait_s": 0.0, "forward_s": m * seconds / 3, "backward_s": m * seconds * 2 / 3, "optimiser_s": 0.0,
            "other_s": 0.0, **waits,
        }  # fmt: skip
        ranks.append(
            RankFacts(
                stage,
                stage,
                0,
                f"cpu-{stage}",
                {name: np.full(steps, value) for name, value in phases.items()},
            )
        )
    return Facts(
        spec=spec(parallel={"data": 1, "stages": p}, model={"layers": 2 * p},
                  batch={"global_batch_size": 2 * m, "micro_batch_size": 2}),
        ranks=tuple(ranks), devices=tuple(DeviceFacts(f"cpu-{n}", "cpu", {}, 2e9, 8e9) for n in range(p)),
        step_s=np.full(steps, step_s), first_step=6, last_step=5 + steps, world_size=p, coverage=1.0,
    )  # fmt: skip


def on_gpu(found: Facts, **means: float) -> Facts:
    """The same facts on GPUs with these readings."""
    devices = tuple(
        DeviceFacts(
            f"gpu-{n}",
            "cuda",
            {"power_throttle_share": 0.0, "thermal_throttle_share": 0.0} | means,
            40e9,
            80e9,
            0.0,
            1.98e9,
        )
        for n in range(len(found.ranks))
    )
    return found.replace(devices=devices)


def clock(*, lost: int = 0, queued_s: float = 0.0, **seconds: float) -> ClockFacts:
    """The clock of an attempt of 100 steps that take 10 s, with further seconds by part."""
    return ClockFacts({"launch": 0.2, "first_step": 0.2, "step": 10.0} | seconds, 100, lost, 1, queued_s)


def pressed(found: Facts, **means: float) -> Facts:
    """The same facts on CPU devices with these readings."""
    devices = tuple(DeviceFacts(f"cpu-{n}", "cpu", means, 2e9, 8e9) for n in range(len(found.ranks)))
    return found.replace(devices=devices)


def read(
    found: Facts, means: Mapping[str, float] | None = None, *, kind: str = "", hosts: int = 1,
    peaks: Mapping[str, float] | None = None, increases: Mapping[str, float] | None = None, read_s: float = 0.0,
) -> Facts:  # fmt: skip
    """The same facts with further readings of each device; the devices are spread over `hosts`."""
    devices = tuple(
        replace(
            device, kind=kind or device.kind, means=dict(device.means) | dict(means or {}), host=f"host-{n % hosts}",
            peaks=dict(peaks or {}), increases=dict(increases or {}), read_s=read_s,
        )
        for n, device in enumerate(found.devices)
    )  # fmt: skip
    return found.replace(devices=devices)


def sending(found: Facts, bytes_per_s: float) -> Facts:
    """The same facts, where each rank passes so much to collectives."""
    payload = bytes_per_s * float(found.step_s.mean())
    return found.replace(ranks=tuple(replace(rank, payload_bytes=payload) for rank in found.ranks))


def small_micro_batches(ranks: int = 1) -> Facts:
    """32 micro-batches of one sequence with 16 tokens: nearly all of forward and backward is launching operations."""
    work = {"forward_s": 0.040, "backward_s": 0.055, "optimiser_s": 0.002, "communication_s": 0.0002}
    return facts(*[work] * ranks, spec=spec(
        model={"layers": 2, "width": 32, "heads": 2, "ffn_width": 64, "context": 16},
        batch={"global_batch_size": 32 * ranks, "micro_batch_size": 1}, parallel={"data": ranks},
    ))  # fmt: skip


# Each rule is in the verdict of one of these, or a state of one of STATE_CASES.
CASES = {
    "clean": facts({}, {}),
    "input": facts({"data_wait_s": 0.06}, {"data_wait_s": 0.05}),
    "input beside communication": facts({"data_wait_s": 0.08, "communication_s": 0.04}, {"data_wait_s": 0.08}),
    "communication": facts({"communication_s": 0.05}, {}),
    "imbalance": facts({}, {"backward_s": 0.2}),
    "slow rank and slow data": facts({"data_wait_s": 0.05}, {"backward_s": 0.2}),
    "host": facts({"other_s": 0.06}, {"other_s": 0.06}),
    "bubble": pipeline([0.01] * 4, 4),
    "slow stage": pipeline([0.01, 0.03, 0.01, 0.01], 8),
    "mixed": facts({"data_wait_s": 0.05, "communication_s": 0.05}, {"data_wait_s": 0.05}),
    "power": on_gpu(facts({}, {}), power_throttle_share=0.9, sm_clock_hz=1.2e9, power_w=690.0),
    "memory bandwidth": on_gpu(facts({}, {}), memory_bandwidth_share=0.8, tensor_active_share=0.1, sm_active_share=0.9),
    "hot and bandwidth": on_gpu(facts({}, {}), memory_bandwidth_share=0.8, tensor_active_share=0.1,
                                thermal_throttle_share=0.5, sm_clock_hz=1.0e9),
    "kernels": on_gpu(facts({}, {}), memory_bandwidth_share=0.3, tensor_active_share=0.1, sm_active_share=0.9,
                      sm_occupancy_share=0.2),
    "heat": read(on_gpu(facts({}, {}), thermal_throttle_share=0.5, sm_clock_hz=1.2e9), peaks={
        "temperature_celsius": 91.0, "memory_temperature_celsius": 88.0}),
    "sync boost": on_gpu(facts({}, {}), sync_throttle_share=0.9, sm_clock_hz=1.2e9),
    "small micro-batches": small_micro_batches(),
    "quota": pressed(facts({}, {}), cpu_throttle_share=0.4, cores_used=0.6),
    "swapping": pressed(facts({}, {}), memory_pressure_share=0.35, io_pressure_share=0.4, cores_used=0.6),
    "disk": pressed(facts({}, {}), io_pressure_share=0.3, cores_used=0.65),
    "neighbours": pressed(facts({}, {}), cpu_pressure_share=0.9, cores_used=0.6),
    "update": facts({"optimiser_s": 0.2}, {"optimiser_s": 0.2}),
    "offloaded update": on_gpu(facts({"optimiser_s": 0.2}, {"optimiser_s": 0.2}, spec=spec(
        parallel={"data": 2, "zero_stage": 1, "offload_optimiser": "host"}))),
    "idle GPU": on_gpu(
        facts({}, {}, spec=spec(batch={"global_batch_size": 16, "micro_batch_size": 8})),
        sm_active_share=0.2, tensor_active_share=0.03, memory_bandwidth_share=0.05),
    "idle core": pressed(facts({}, {}), cores_used=0.2, utilisation_pct=20.0),
    "capacity": facts({}, {}, unlimited_gain_share=0.3,
                      spec=spec(batch={"global_batch_size": 16, "micro_batch_size": 1})),
    "validation": facts({}, {}, clock=clock(validation=6.0), spec=spec(budget={"validate_every": 10})),
    "sample outputs": facts({"communication_s": 0.05}, {}, clock=clock(validation=1.0, outputs=9.0)),
    "checkpoints": facts({}, {}, clock=clock(checkpoint=3.0), spec=spec(budget={"checkpoint_every": 2})),
    "slow log disk": facts({}, {}, clock=clock(recording=4.0)),
    "between the steps": facts({}, {}, clock=clock(between_steps=4.0)),
    "start-up": facts({}, {}, clock=clock(data=30.0, imports=4.0)),
    "lost work": facts({}, {}, clock=clock(lost_steps=8.0, lost=32), spec=spec(budget={"checkpoint_every": 50})),
}  # fmt: skip
STATE_CASES = {
    "faulty device": facts({}, {}, faults=("Device cpu-0 is suspected: Xid 79",)),
    "busy host": facts({}, {}, devices=(DeviceFacts("cpu-0", "cpu", {"cpu_pressure_share": 0.4}, 2e9, 8e9),)),
    "full memory": facts({}, {}, devices=(DeviceFacts("cpu-0", "cpu", {}, 7.5e9, 8e9),)),
    "power limit": on_gpu(facts({}, {}), power_throttle_share=0.3, sm_clock_hz=1.95e9),
    "long queue": facts({}, {}, clock=clock(queued_s=600.0)),
    "hot": on_gpu(facts({}, {}), thermal_throttle_share=0.05, sm_clock_hz=1.95e9),
    "hot without a counter": read(facts({}, {}), peaks={"temperature_celsius": 99.0}),
    "sync boost of little cost": on_gpu(facts({}, {}), sync_throttle_share=0.1, sm_clock_hz=1.95e9),
    "memory of a control group": read(facts({}, {}), peaks={"memory_pss_bytes": 3.9e9, "memory_limit_bytes": 8e9}),
    "resident memory of a control group": read(
        facts({}), peaks={"memory_used_bytes": 7.9e9, "memory_limit_bytes": 8e9}),
    "memory errors": read(facts({}, {}), kind="cuda", increases={"memory_errors_corrected": 40.0}, read_s=7200.0),
    "narrow link": read(
        facts({}, {}), {"utilisation_pct": 90.0, "pcie_tx_bytes_per_s": 1e9, "pcie_rx_bytes_per_s": 1e9},
        kind="cuda", peaks={"pcie_link_share": 0.25}),
    "replays": read(facts({}, {}), kind="cuda", increases={"pcie_replays": 900.0}, read_s=600.0),
    "NVLink unused": read(
        sending(facts({}, {}), 2e9), {"nvlink_tx_bytes_per_s": 1e3, "nvlink_rx_bytes_per_s": 0.0,
                                      "pcie_tx_bytes_per_s": 3e9, "pcie_rx_bytes_per_s": 3e9}, kind="cuda"),
    "network of others": read(sending(facts({}, {}), 2e6), {
        "network_tx_bytes_per_s": 4e8, "network_rx_bytes_per_s": 1e8}, hosts=2),
}  # fmt: skip
