"""Kinds of generated causes, each with the rules that may be named."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from tests.engine.verdict.generated_cases import Drawn, Kind, Rng
from tests.engine.verdict.simulator import Cause, Layout, Machine, play

SPEEDS = ("operation_s", "flops_per_s", "memory_bytes_per_s", "latency_s", "link_bytes_per_s", "host_s")


def _machine(rng: Rng, **more: Any) -> Machine:
    base = Machine(**more)
    if base.kind == "cuda":
        fast = {"flops_per_s": 2e13, "memory_bytes_per_s": 1.5e12, "latency_s": 2e-5, "link_bytes_per_s": 5e10,
                "update_bytes_per_s": 1e12, "operation_s": 6e-6, "turn_s": 5e-5}  # fmt: skip
        base = replace(base, **{k: v for k, v in fast.items() if k not in more})
    return replace(base, **{name: getattr(base, name) * float(rng.uniform(0.6, 1.6)) for name in SPEEDS})


def _layout(rng: Rng, **fixed: Any) -> Layout:
    """Work that fills a step: a micro-batch has hundreds of tokens."""
    values: dict[str, Any] = {
        "layers": int(rng.choice([4, 6, 8])), "width": int(rng.choice([128, 192, 256])),
        "context": int(rng.choice([64, 128, 256])), "micro": int(rng.choice([8, 16])), "data": 1,
    }  # fmt: skip
    values |= fixed
    turns = values.pop("turns", int(rng.choice([1, 2])))
    return Layout(**values, sequences=values["micro"] * values["data"] * turns)


def _large(rng: Rng, **fixed: Any) -> Layout:
    """Work that fills a GPU."""
    return _layout(rng, **{"layers": 12, "width": 1024, "context": 512, "micro": 8} | fixed)


def _ranks(rng: Rng) -> int:
    return int(rng.choice([2, 3, 4]))


def _one_of(rng: Rng, ranks: int, normal: float, other: float) -> tuple[float, ...]:
    values = [normal] * ranks
    values[int(rng.integers(ranks))] = other
    return tuple(values)


def _seconds(layout: Layout, machine: Machine) -> float:
    return play(layout, machine, Cause()).mean_s


def _with(
    layout: Callable[[Rng], Layout], cause: Callable[[Rng, Layout, float], Cause], **machine: Any
) -> Any:
    """`cause` gets the seconds of a step without any."""

    def draw(rng: Rng) -> Drawn:
        chosen, found = layout(rng), _machine(rng, **machine)
        return Drawn(chosen, found, cause(rng, chosen, _seconds(chosen, found)))

    return draw


def _no_cause(rng: Rng, layout: Layout, step_s: float) -> Cause:
    return Cause()


def _on_several(rng: Rng, **more: Any) -> Layout:
    return _layout(rng, **{"data": _ranks(rng), "zero": int(rng.choice([0, 1]))} | more)


def _stolen(by: str, of_one: bool = False) -> Callable[[Rng, Layout, float], Cause]:
    def cause(rng: Rng, layout: Layout, step_s: float) -> Cause:
        share = float(rng.uniform(0.25, 0.6))
        shares = _one_of(rng, layout.ranks, 0.0, share) if of_one else (share,)
        return Cause(stolen=shares, stolen_by=by)

    return cause


def _on_gpu(
    cause: Cause, layout: Callable[[Rng], Layout] = _large, **readings: float
) -> Callable[[Rng], Drawn]:
    def draw(rng: Rng) -> Drawn:
        drawn = {name: value * float(rng.uniform(0.97, 1.03)) for name, value in readings.items()}
        return Drawn(layout(rng), _machine(rng, kind="cuda"), cause, tuple(drawn.items()))

    return draw


def _names(text: str) -> frozenset[str]:
    return frozenset(text.split())


def _kind(
    name: str, draw: Any, names: str, thing: str = "", allowed: str = "", keys: tuple[str, ...] = (), **more: Any
) -> Kind:  # fmt: skip
    return Kind(name, draw, _names(names), thing, _names(allowed) | _names(names), keys, **more)


TINY = {"layers": 2, "width": 64, "context": 16, "micro": 1}

KINDS: tuple[Kind, ...] = (
    _kind("clean, one rank", _with(_layout, _no_cause), "compute"),
    _kind("clean, several ranks", _with(_on_several, _no_cause, link_bytes_per_s=5e9), "compute"),
    _kind("clean, own collective", _with(_layout, lambda r, la, s: Cause(own_collective_s=0.05 * s)), "compute"),
    _kind("data, all ranks", _with(_on_several, lambda r, la, s: Cause(data_s=(s * float(r.uniform(0.3, 1.0)),))),
          "input", "data"),
    _kind("data, one rank", _with(
        _on_several, lambda r, la, s: Cause(data_s=_one_of(r, la.data, 0.0, s * float(r.uniform(0.3, 1.0))))),
        "input", "data"),
    _kind("slow link", _with(_on_several, lambda r, la, s: Cause(link=float(r.uniform(0.02, 0.2)))),
          "communication", "link"),
    _kind("slow link, ZeRO 2 or 3", _with(
        lambda r: _on_several(r, zero=int(r.choice([2, 3])), turns=4, width=256),
        lambda r, la, s: Cause(link=float(r.uniform(0.02, 0.2)))), "communication", "link", "dispatch"),
    _kind("slow rank", _with(
        _on_several, lambda r, la, s: Cause(slow=_one_of(r, la.data, 1.0, float(r.uniform(1.5, 3))))),
        "imbalance", "slow"),
    _kind("slow stage", _with(
        lambda r: _layout(r, stages=int(r.choice([2, 4])), layers=8, turns=16),
        lambda r, la, s: Cause(slow=_one_of(r, la.stages, 1.0, float(r.uniform(1.6, 3))))),
        "imbalance", "slow", "bubble"),
    _kind("bubble", _with(lambda r: _layout(r, stages=int(r.choice([2, 4])), layers=8, turns=int(r.choice([1, 2, 4]))),
                          _no_cause), "bubble", "bubble"),
    _kind("small micro-batches", _with(lambda r: _layout(r, **TINY, turns=int(r.choice([8, 16, 32]))), _no_cause),
          "dispatch", "turns"),
    _kind("small micro-batches, several ranks", _with(
        lambda r: _on_several(r, **TINY, turns=int(r.choice([8, 16]))), _no_cause), "dispatch", "turns"),
    _kind("pipeline of small micro-batches", _with(
        lambda r: _layout(r, **TINY | {"layers": 4}, stages=2, turns=int(r.choice([16, 32]))), _no_cause),
        "dispatch", "turns", "bubble"),
    _kind("host work", _with(_on_several, lambda r, la, s: Cause(host_s=s * float(r.uniform(0.3, 1.0)))),
          "host", "host"),
    _kind("quota", _with(_on_several, _stolen("quota")), "quota", "stolen", "", ("cpu_throttle_share",)),
    _kind("quota, one rank", _with(_on_several, _stolen("quota", True)), "quota", "stolen", "imbalance",
          ("cpu_throttle_share",)),
    _kind("swapping", _with(_on_several, _stolen("memory")), "swapping", "stolen", "", ("memory_pressure_share",)),
    _kind("disk", _with(_layout, _stolen("disk")), "io_pressure", "stolen", "", ("io_pressure_share",)),
    _kind("neighbours", _with(_on_several, _stolen("cores")), "contention", "stolen", "imbalance",
          ("cpu_pressure_share", "cores_used")),
    _kind("neighbour of one rank", _with(_on_several, _stolen("cores", True)), "contention", "stolen", "imbalance",
          ("cpu_pressure_share", "cores_used")),
    _kind("update", _with(_on_several, lambda r, la, s: Cause(update=float(r.uniform(20, 80)))), "optimiser", "update",
          least=0.3),
    _kind("offloaded update", lambda r: Drawn(_large(r, data=2, zero=1, offload=True, turns=1),
                                              _machine(r, kind="cuda"), Cause()), "optimiser", "update"),
    _kind("idle GPU", lambda r: Drawn(
        _layout(r, turns=1), _machine(r, kind="cuda", operation_s=2e-5), Cause()), "idle"),
    _kind("idle GPU, many micro-batches", lambda r: Drawn(
        _layout(r, turns=8), _machine(r, kind="cuda", operation_s=2e-5), Cause()), "dispatch idle"),
    _kind("own collective of one rank", _with(
        _layout, lambda r, la, s: Cause(own_collective_s=s * float(r.uniform(0.25, 0.6)))), "host", "host"),
    _kind("data and host work", _with(
        _on_several, lambda r, la, s: Cause(
            data_s=(s * float(r.uniform(0.3, 0.5)),), host_s=s * float(r.uniform(0.3, 0.5)))),
        "input host", "data", with_others=True),
    _kind("slow rank, ZeRO 2 or 3", _with(
        lambda r: _on_several(r, zero=int(r.choice([2, 3])), turns=4, width=256),
        lambda r, la, s: Cause(slow=_one_of(r, la.data, 1.0, float(r.uniform(2, 4)))), link_bytes_per_s=5e9),
        "imbalance", "slow", "dispatch"),
    _kind("data from a slow disk", _with(
        _layout, lambda r, la, s: Cause(data_s=(s * float(r.uniform(0.3, 1.0)),), delayed_by_disk=True)),
        "input", "data"),
    _kind("small micro-batches on a machine of others", _with(
        lambda r: _layout(r, **TINY, turns=int(r.choice([8, 16, 32]))),
        lambda r, la, s: Cause(stolen=(float(r.uniform(0.02, 0.1)),), stolen_by="cores")), "dispatch", "turns"),
    _kind("power", _on_gpu(Cause(clock=0.7), power_throttle_share=0.8, sm_clock_hz=0.7 * 1.98e9), "power"),
    _kind("validation", _with(_on_several, _no_cause), "validation", clock_part="validation"),
    _kind("sample outputs", _with(_layout, _no_cause), "validation", clock_part="outputs"),
    _kind("checkpoints", _with(_layout, _no_cause), "checkpoints", clock_part="checkpoint"),
    _kind("slow log disk", _with(_on_several, _no_cause), "recording", clock_part="recording"),
    _kind("pauses between steps", _with(_layout, _no_cause), "between_steps", clock_part="between_steps"),
    _kind("long start", _with(_layout, _no_cause), "start_up", clock_part="data"),
    _kind("lost work", _with(_on_several, _no_cause), "lost_work", clock_part="lost_steps"),
    _kind("heat", _on_gpu(Cause(clock=0.6), thermal_throttle_share=0.5, sm_clock_hz=0.6 * 1.98e9), "heat"),
    _kind("sync boost", _on_gpu(Cause(clock=0.65), sync_throttle_share=0.6, sm_clock_hz=0.65 * 1.98e9), "sync_boost"),
    _kind("memory bandwidth", _on_gpu(
        Cause(), memory_bandwidth_share=0.8, tensor_active_share=0.15, sm_active_share=0.9), "memory_bandwidth"),
    _kind("small kernels", _on_gpu(
        Cause(), memory_bandwidth_share=0.3, tensor_active_share=0.2, sm_active_share=0.93), "kernels"),
)  # fmt: skip
