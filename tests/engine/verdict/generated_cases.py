"""Generated cases of a verdict: random runs with a random cause, played by the simulator."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from engine.planner import HardwareProfile, Link
from engine.spec.spec import SpecError, parse
from engine.verdict.facts import DeviceFacts, Facts, RankFacts
from tests.engine.verdict.generated_clocks import DrawnClock, draw_clock
from tests.engine.verdict.simulator import STEPS, Cause, Layout, Machine, Played, play, true_shares

Rng = np.random.Generator
LEAST, CLEAR, CLEAN = (
    0.14,
    0.07,
    0.08,
)  # share of a named cause, its lead, and the most of any cause of a clean run
PRESSURES = {
    "quota": "cpu_throttle_share", "memory": "memory_pressure_share", "disk": "io_pressure_share",
    "cores": "cpu_pressure_share",
}  # fmt: skip


@dataclass(frozen=True)
class Drawn:
    layout: Layout
    machine: Machine
    cause: Cause
    readings: tuple[tuple[str, float], ...] = ()  # of GPUs


@dataclass(frozen=True)
class Kind:
    """A kind of cause. `names`: rules of which the verdict names one, and no rule outside of `allowed`. `thing`: of the
    simulator's shares, which must be the greatest; '' leaves the drawing as it is."""

    name: str
    draw: Callable[[Rng], Drawn]
    names: frozenset[str]
    thing: str = ""
    allowed: frozenset[str] = frozenset()
    key_metrics: tuple[str, ...] = ()  # without one of these it cannot be told
    least: float = LEAST
    with_others: bool = False  # whether another cause may be as great
    clock_part: str = ""  # the part of the wall clock that is the cause


@dataclass(frozen=True)
class Case:
    kind: Kind
    drawn: Drawn
    facts: Facts
    is_key_missing: bool
    clock: DrawnClock


def generate(kinds: tuple[Kind, ...], count: int, seed: int) -> list[Case]:
    """Each kind in turn."""
    rng = np.random.default_rng(seed)
    return [generate_one(kinds[n % len(kinds)], rng) for n in range(count)]


def generate_one(kind: Kind, rng: Rng) -> Case:
    for _ in range(400):
        drawn = kind.draw(rng)
        if _is_possible(drawn.layout) and _is_clear(kind, drawn):
            return _observe(kind, drawn, rng)
    raise AssertionError(f"no clear case of {kind.name} in 400 draws")


def _is_possible(layout: Layout) -> bool:
    try:
        parse(spec_of(layout))
    except SpecError:
        return False
    return layout.turns >= 1 and layout.sequences == layout.turns * layout.micro * layout.data


def _is_clear(kind: Kind, drawn: Drawn) -> bool:
    shares = dict(true_shares(drawn.layout, drawn.machine, drawn.cause))
    shares.pop("update") if shares["update"] < 0.22 and kind.thing != "update" else None
    if drawn.machine.kind == "cuda" and kind.thing != "turns":
        shares.pop("turns", None)
    if not kind.thing:
        return max(shares.values()) < CLEAN
    own = shares.pop(kind.thing)
    return own >= kind.least and (kind.with_others or max(shares.values()) < own - CLEAR)


def spec_of(layout: Layout, budget: dict[str, int] | None = None) -> dict[str, Any]:
    return parse({
        "model": {"layers": layout.layers, "width": layout.width, "heads": 4, "ffn_width": 4 * layout.width,
                  "context": layout.context},
        "data": {"tokenizer": "bytes"},
        "batch": {"global_batch_size": layout.sequences, "micro_batch_size": layout.micro},
        "parallel": {"data": layout.data, "stages": layout.stages, "zero_stage": layout.zero,
                     "activation_checkpointing": "full" if layout.recompute else "none",
                     "offload_optimiser": "host" if layout.offload else "none"},
        "precision": {"dtype": "fp32"},
        "budget": budget or {},
    }).model_dump()  # fmt: skip


def changed_layout(layout: Layout, changes: dict[str, Any]) -> Layout:
    """The simulator's layout after a change of the spec."""
    fields = {
        "batch.global_batch_size": "sequences", "batch.micro_batch_size": "micro", "parallel.data": "data",
        "parallel.stages": "stages", "parallel.zero_stage": "zero",
    }  # fmt: skip
    values: dict[str, Any] = {fields[path]: value for path, value in changes.items() if path in fields}
    if "parallel.activation_checkpointing" in changes:
        values["recompute"] = changes["parallel.activation_checkpointing"] != "none"
    if "parallel.offload_optimiser" in changes:
        values["offload"] = changes["parallel.offload_optimiser"] != "none"
    return replace(layout, **values)


def _observe(kind: Kind, drawn: Drawn, rng: Rng) -> Case:
    """The facts of a played run, with a probe that is off by up to a fifth, noise, and missing metrics."""
    noise = float(rng.choice([0.0, 0.01, 0.03, 0.06]))
    played = play(drawn.layout, drawn.machine, drawn.cause, noise, int(rng.integers(1 << 30)))
    devices, lost = [], set()
    droppable = [*PRESSURES.values(), "cores_used"]
    if rng.random() < 0.3:
        lost = {str(name) for name in rng.choice(droppable, size=int(rng.integers(1, 3)), replace=False)}
    if kind.key_metrics and rng.random() < 0.2:
        lost.add(str(rng.choice(list(kind.key_metrics))))
    for rank in range(drawn.layout.ranks):
        means = _read_device(drawn, played, rank, rng)
        means = {name: value for name, value in means.items() if name not in lost}
        devices.append(DeviceFacts(f"dev-{rank}", drawn.machine.kind, means, None, None, None, 1.98e9))
    ranks = tuple(
        RankFacts(
            n, n if drawn.layout.stages > 1 else 0, 0 if drawn.layout.stages > 1 else n, f"dev-{n}", phases
        )
        for n, phases in enumerate(played.phases)
    )
    clock = draw_clock(kind.clock_part, played.mean_s, rng)
    found = Facts(
        spec=spec_of(drawn.layout, clock.budget), clock=clock.facts, ranks=ranks,
        devices=tuple(devices), step_s=played.step_s, first_step=6,
        last_step=5 + STEPS, world_size=len(ranks), coverage=1.0, profile=_probe(drawn.machine, rng),
    )  # fmt: skip
    return Case(kind, drawn, found, bool(lost & set(kind.key_metrics)), clock)


def _read_device(drawn: Drawn, played: Played, rank: int, rng: Rng) -> dict[str, float]:
    if drawn.machine.kind == "cuda":
        busy = min(1.0, played.running_s[rank] / played.mean_s)
        means = {"power_throttle_share": 0.0, "thermal_throttle_share": 0.0, "sync_throttle_share": 0.0}
        means["sm_active_share"] = busy
        return means | dict(drawn.readings)
    cause, background = drawn.cause, {"cpu": 0.1, "memory": 0.01, "io": 0.02}
    means = {f"{what}_pressure_share": float(rng.uniform(0, most)) for what, most in background.items()}
    means |= {"cpu_throttle_share": 0.0, "cores_used": played.running_s[rank] / played.mean_s}
    means["utilisation_pct"] = 100 * means["cores_used"]
    own = cause.get("stolen", rank)
    local = sum(float(v.mean()) for k, v in played.phases[rank].items() if k not in ("data_wait_s", "bubble_s",
                                                                                    "communication_s"))  # fmt: skip
    stopped = own * local / played.mean_s
    if cause.stolen_by == "cores":
        means["cpu_pressure_share"] = float(min(0.99, 0.4 + max(cause.stolen)))  # the same host
    elif cause.delayed_by_disk:
        means["io_pressure_share"] = cause.get("data_s", rank) / played.mean_s
    elif cause.stolen_by:
        means[PRESSURES[cause.stolen_by]] = stopped * float(rng.uniform(0.95, 1.05))
        if cause.stolen_by == "memory":
            means["io_pressure_share"] = stopped * float(rng.uniform(0.5, 1.0))
    return means


def _probe(machine: Machine, rng: Rng) -> HardwareProfile | None:
    if rng.random() < 0.2:
        return None

    def about(value: float) -> float:
        return value * float(rng.uniform(0.85, 1.2))

    link = Link(about(machine.latency_s), about(machine.link_bytes_per_s))
    rate = about(machine.flops_per_s)
    return HardwareProfile(
        name="simulated", kind=machine.kind, standing="measured", source="simulator",  # type: ignore[arg-type]
        flops_per_s={"fp32": rate}, memory_bytes_per_s=about(machine.memory_bytes_per_s),
        operation_s=about(machine.operation_s), gather_s=20 * machine.operation_s, step_s=machine.host_s,
        optimiser_bytes_per_s=about(machine.update_bytes_per_s), within_node=link, between_nodes=link,
        host_link=Link(1e-5, machine.host_link_bytes_per_s),
    )  # fmt: skip
