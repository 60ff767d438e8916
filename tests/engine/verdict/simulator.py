"""Simulator of training steps, independent of planner and rules.

It plays each rank's passes, collectives and turns one after the other and records what real ranks record. Costs of an
operation are those measured on real ranks (2 layers: 83 operations forward and 102 backward in each micro-batch).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
STEPS = 40
BYTES = 4


@dataclass(frozen=True)
class Layout:
    """The fields of a spec that matter for time."""

    layers: int = 4
    width: int = 128
    context: int = 32
    sequences: int = 16  # of a step, all ranks together
    micro: int = 2
    data: int = 1
    stages: int = 1
    zero: int = 0
    recompute: bool = False
    offload: bool = False

    @property
    def turns(self) -> int:
        return self.sequences // (self.micro * self.data)

    @property
    def ranks(self) -> int:
        return self.data * self.stages

    @property
    def parameters(self) -> float:
        """Of one stage."""
        return self.layers * 12 * self.width**2 / self.stages + 2 * 260 * self.width / self.stages


@dataclass(frozen=True)
class Machine:
    """Speeds of one device and its links."""

    kind: str = "cpu"
    operation_s: float = 4e-6
    flops_per_s: float = 6e10
    memory_bytes_per_s: float = 1e10
    latency_s: float = 1.5e-4
    link_bytes_per_s: float = 1e9
    host_s: float = 5e-4  # of a step
    turn_s: float = 3e-4  # a hand-over between stages
    update_bytes_per_s: float = 8e9
    host_link_bytes_per_s: float = 2e10


@dataclass(frozen=True)
class Cause:
    """What slows a run. Lists are by rank, cut or repeated to their number; seconds are of a step."""

    data_s: tuple[float, ...] = (0.0,)
    slow: tuple[float, ...] = (1.0,)  # factor on passes
    link: float = 1.0  # factor on the bandwidth and the latency of the link
    host_s: float = 0.0
    stolen: tuple[float, ...] = (0.0,)  # share of the local time, evenly
    stolen_by: str = ""  # quota, memory, disk or cores
    update: float = 1.0  # factor on the update
    delayed_by_disk: bool = False  # the data
    own_collective_s: float = 0.0  # of one rank with itself
    clock: float = 1.0  # share of the clock that is left

    def get(self, name: str, rank: int) -> float:
        values: tuple[float, ...] = getattr(self, name)
        return values[rank % len(values)]


@dataclass
class Played:
    """What the ranks recorded, and the time in which they really ran."""

    step_s: Floats
    phases: list[dict[str, Floats]]
    running_s: list[float] = field(default_factory=list)  # by rank: CPU time of a step, or time of kernels

    @property
    def mean_s(self) -> float:
        return float(self.step_s.mean())


def passes_s(layout: Layout, machine: Machine) -> tuple[float, float, float]:
    """Seconds of one micro-batch of one stage, forward and backward, and the kernels' part of both."""
    layers = layout.layers / layout.stages
    forward_ops, backward_ops = 36 * layers + 12, 44 * layers + 14
    tokens = layout.micro * layout.context
    products = 2 * tokens * layout.parameters + 4 * layers * tokens * layout.context * layout.width
    rate = machine.flops_per_s * tokens / (tokens + 12)  # thin matrices are slower
    weights = layout.parameters * BYTES / machine.memory_bytes_per_s
    streams = 34 * layers * tokens * layout.width * BYTES / machine.memory_bytes_per_s
    forward = products / rate + weights + 0.5 * streams
    backward = 2 * products / rate + 2 * weights + streams
    if layout.zero and layout.data > 1:  # hooks
        backward_ops += {1: 5, 2: 15, 3: 40}[layout.zero] * 6 * layers
        forward_ops += {1: 1, 2: 3, 3: 40}[layout.zero] * 6 * layers
    launch = (forward_ops * machine.operation_s, backward_ops * machine.operation_s)
    if machine.kind == "cuda":
        return max(forward, launch[0]), max(backward, launch[1]), forward + backward
    forward, backward = forward + launch[0], backward + launch[1]
    if layout.recompute:
        backward += forward
    return forward, backward, forward + backward


def transfers_s(layout: Layout, machine: Machine, cause: Cause) -> list[float]:
    """Seconds of the collectives of data ranks after each micro-batch; the last one has those of the step."""
    n, m = layout.data, layout.turns
    if n == 1:
        return [0.0] * m
    latency, bandwidth = machine.latency_s / cause.link, machine.link_bytes_per_s * cause.link
    size = layout.parameters * BYTES

    def ring(passes: float) -> float:
        return passes * ((n - 1) * latency + (n - 1) / n * size / bandwidth)

    scatter = 1 if machine.kind == "cuda" else 2
    each = {0: 0.0, 1: 0.0, 2: ring(2), 3: ring(2 + scatter)}[layout.zero]
    once = {0: ring(2), 1: ring(3), 2: ring(1), 3: 0.0}[layout.zero]
    crowded = 1 + 3 * max(cause.stolen) if cause.stolen_by == "cores" else 1.0  # transfers need cores too
    return [crowded * one for one in (*[each] * (m - 1), each + once)]


def update_s(layout: Layout, machine: Machine, cause: Cause) -> float:
    owned = layout.parameters / (layout.data if layout.zero else 1)
    calls = (6 if layout.zero else 3) * 12 * layout.layers / layout.stages
    if machine.kind == "cuda":  # fused
        calls = 20
    seconds = owned * 40 / machine.update_bytes_per_s + calls * machine.operation_s
    if layout.offload and machine.kind == "cuda":
        seconds = owned * 44 / 4e9 + 2 * owned * 2 / machine.host_link_bytes_per_s
    return seconds * cause.update


def play(layout: Layout, machine: Machine, cause: Cause, noise: float = 0.0, seed: int = 0) -> Played:
    rng = np.random.default_rng(seed)
    return (_play_pipeline if layout.stages > 1 else _play_data)(layout, machine, cause, noise, rng)


def _stretch(share: float, by: str, rng: np.random.Generator, steps: int) -> Floats:
    """Neighbours come and go; a quota stops as much in every period."""
    shares = np.full(steps, share)
    if by == "cores" and share:
        shares = np.clip(share * rng.uniform(0.6, 1.4, steps), 0, 0.9)
    return np.asarray(1 / (1 - shares))


def _play_data(
    layout: Layout, machine: Machine, cause: Cause, noise: float, rng: np.random.Generator
) -> Played:
    m, steps = layout.turns, STEPS
    forward, backward, kernels = passes_s(layout, machine)
    moved = transfers_s(layout, machine, cause)
    ranks = range(layout.data)
    names = ("data_wait_s", "forward_s", "backward_s", "optimiser_s", "other_s", "communication_s")
    phases = [{name: np.zeros(steps) for name in names} for _ in ranks]
    clock = np.zeros((layout.data, steps))
    running = np.zeros(layout.data)

    def spend(rank: int, name: str, seconds: float) -> None:
        drawn = seconds * (1 + noise * rng.standard_normal(steps)).clip(0.2)
        if name != "data_wait_s":
            running[rank] += seconds
            drawn = drawn * _stretch(cause.get("stolen", rank), cause.stolen_by, rng, steps)
        phases[rank][name] += drawn
        clock[rank] += drawn

    def meet(seconds: float) -> None:
        end = clock.max(axis=0) + seconds * (1 + noise * abs(rng.standard_normal(steps)))
        for rank in ranks:
            phases[rank]["communication_s"] += end - clock[rank]
            clock[rank] = end

    for turn in range(m):
        for rank in ranks:
            slow = cause.get("slow", rank) / cause.clock
            spend(rank, "data_wait_s", cause.get("data_s", rank) / m + 2e-5)
            spend(rank, "forward_s", forward * slow)
            spend(rank, "backward_s", backward * slow)
        if moved[turn]:
            meet(moved[turn])
    for rank in ranks:
        spend(rank, "optimiser_s", update_s(layout, machine, cause))
        spend(rank, "other_s", machine.host_s + cause.host_s)
        if layout.data == 1:
            phases[rank]["communication_s"] += cause.own_collective_s
            clock[rank] += cause.own_collective_s
    if layout.data > 1:
        meet(machine.latency_s)
    busy = (
        [kernels * m / cause.clock] * layout.data
        if machine.kind == "cuda"
        else [float(one) for one in running]
    )
    return Played(clock.max(axis=0), phases, busy)


def _play_pipeline(
    layout: Layout, machine: Machine, cause: Cause, noise: float, rng: np.random.Generator
) -> Played:
    """All forward passes and then all backward ones, each stage after its neighbour; one copy of the model."""
    p, m, steps = layout.stages, layout.turns, STEPS
    forward, backward, _ = passes_s(layout, machine)
    names = ("forward_s", "backward_s")
    phases = [{name: np.zeros(steps) for name in (*names, "data_wait_s", "other_s")} for _ in range(p)]
    clock, waits = np.zeros((p, steps)), np.zeros((p, steps))
    for name, seconds, order in ((names[0], forward, range(p)), (names[1], backward, range(p - 1, -1, -1))):
        for _ in range(m):
            before = np.zeros(steps)
            for stage in order:
                start = np.maximum(clock[stage], before)
                drawn = (
                    seconds * cause.get("slow", stage) * (1 + noise * rng.standard_normal(steps)).clip(0.2)
                )
                drawn = drawn * _stretch(cause.get("stolen", stage), cause.stolen_by, rng, steps)
                waits[stage] += start - clock[stage] + machine.turn_s
                phases[stage][name] += drawn
                clock[stage] = start + drawn + machine.turn_s
                before = clock[stage]
    update, host = update_s(layout, machine, cause), machine.host_s + cause.host_s
    end = clock.max(axis=0) + update + host
    for stage in range(p):
        phases[stage]["optimiser_s"] = np.full(steps, update)
        phases[stage]["other_s"] += host
        phases[stage]["communication_s"] = np.full(steps, 2e-5 * m)
        local = sum(values for name, values in phases[stage].items())
        phases[stage]["bubble_s"] = end - local
    return Played(end, phases, [float(sum(one[n].mean() for n in names)) for one in phases])


def saving(layout: Layout, machine: Machine, cause: Cause, other: Layout | Cause) -> float:
    """Share of the time per token that another layout, or another cause, saves."""
    before = play(layout, machine, cause).mean_s / layout.sequences
    changed = replace_one(layout, cause, other)
    after = play(changed[0], machine, changed[1]).mean_s / changed[0].sequences
    return 1 - after / before


def replace_one(layout: Layout, cause: Cause, other: Layout | Cause) -> tuple[Layout, Cause]:
    return (other, cause) if isinstance(other, Layout) else (layout, other)


def true_shares(layout: Layout, machine: Machine, cause: Cause) -> Mapping[str, float]:
    """What a step would save without each thing that can slow it."""
    single = replace(layout, micro=layout.micro * layout.turns)
    shares = {
        "data": saving(layout, machine, cause, replace(cause, data_s=(0.0,))),
        "link": saving(layout, machine, cause, replace(cause, link=1e6)),
        "host": 1 - play(layout, replace(machine, host_s=0.0), replace(cause, host_s=0.0, own_collective_s=0.0)).mean_s
        / play(layout, machine, cause).mean_s,
        "slow": saving(layout, machine, cause, replace(cause, slow=(float(np.mean(cause.slow)),))),
        "stolen": saving(layout, machine, cause, replace(cause, stolen=(0.0,), stolen_by="")),
        "update": saving(layout, machine, cause, replace(cause, update=0.0)),
    }  # fmt: skip
    if layout.stages == 1:
        shares["turns"] = saving(layout, machine, cause, single)
    else:
        p, m = layout.stages, layout.turns
        shares["bubble"] = (p - 1) / (m + p - 1)
        longer = replace(layout, sequences=layout.micro * m * 16)  # 16 times the turns have no bubble
        turn_s = play(longer, machine, cause).mean_s / (16 * m)
        # What a turn of one sequence costs beside a sixteenth of a turn of sixteen
        wide = replace(longer, micro=layout.micro * 16)
        shares["turns"] = 1 - play(wide, machine, cause).mean_s / (16 * m) / turn_s
    return shares
