"""Facts made by hand: runs of which it is known what limits them."""

from __future__ import annotations

from typing import Any

import numpy as np

from engine.spec.spec import parse
from engine.telemetry.metrics import STEP_PHASES
from engine.verdict.facts import Device, Facts, Rank

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
    """One mapping of phases a rank, the time in collectives left out: each waits until the slowest has come, and all
    take `communication_s` of the first one."""
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
            Rank(n, 0, n, f"cpu-{n}", phases, payload_bytes=1e6) for n, phases in enumerate(drawn)
        ),
        "devices": tuple(Device(f"cpu-{n}", "cpu", {}, 2e9, 8e9) for n in range(len(ranks))),
        "step_s": step_s, "first_step": 6, "last_step": 5 + steps, "world_size": len(ranks), "coverage": 1.0,
    }  # fmt: skip
    return Facts(**values | more)


def pipeline(
    stage_s: list[float],
    micro_batches: int,
    *,
    told: bool = True,
    transfer_s: float = 0.0,
    steps: int = STEPS,
) -> Facts:
    """Stages of so many seconds a micro-batch (forward a third of it), in a pipeline that does nothing else."""
    m, p = micro_batches, len(stage_s)
    step_s = sum(stage_s) + (m - 1) * max(stage_s) + transfer_s
    ranks = []
    for stage, seconds in enumerate(stage_s):
        idle = step_s - m * seconds - transfer_s
        phases = {
            "data_wait_s": 0.0, "forward_s": m * seconds / 3, "backward_s": m * seconds * 2 / 3, "optimiser_s": 0.0,
            "other_s": 0.0,
            **({"communication_s": transfer_s, "bubble_s": idle} if told else {"communication_s": idle + transfer_s}),
        }  # fmt: skip
        ranks.append(
            Rank(
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
        ranks=tuple(ranks), devices=tuple(Device(f"cpu-{n}", "cpu", {}, 2e9, 8e9) for n in range(p)),
        step_s=np.full(steps, step_s), first_step=6, last_step=5 + steps, world_size=p, coverage=1.0,
    )  # fmt: skip


def on_gpu(found: Facts, **means: float) -> Facts:
    """The same on GPUs with these readings."""
    devices = tuple(
        Device(
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
    return found.without(devices=devices)
