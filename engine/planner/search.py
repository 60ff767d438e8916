"""Search over parallel layouts by time, energy or money.

Model, data, global batch, optimiser and number format are fixed, so every candidate computes the same training.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from engine.planner.calibration import Calibration
from engine.planner.estimate import Estimate
from engine.planner.memory import peak_bytes
from engine.planner.places import is_host_enough
from engine.planner.plan import Plan
from engine.planner.plan_parts import FITS_SHARE, fit_label
from engine.planner.predict import plan, resolve_dtype
from engine.planner.profile import HardwareProfile
from engine.planner.steptime import phase_times, step_energy, step_time, time_unavailable_reason
from engine.spec.checks import Hardware, refuse_impossible
from engine.spec.parts import BatchSizes, Parallel
from engine.spec.spec import Spec, SpecError, flatten

Goal = Literal["time", "energy", "money"]
Recomputes = ("none", "selective", "full")
MAX_MICRO_BATCH = 4096
FIELDS = (*(f"parallel.{name}" for name in Parallel.model_fields), "batch.micro_batch_size")


@dataclass(frozen=True)
class PlanCandidate:
    """One plan of a search: its spec, the changed fields and the predictions of one step."""

    spec: Spec
    changes: dict[str, Any]  # path -> value
    peak_bytes: float
    fits: str
    step_s: Estimate | None
    energy_j: Estimate | None
    money: Estimate | None


@dataclass(frozen=True)
class SearchResult:
    """The best plans of a search, best first."""

    best: tuple[PlanCandidate, ...]
    num_tried: int
    num_fitting: int
    took_s: float  # of CPU
    why_not: str = ""  # why there is no best plan


def nearest_fit(
    spec: Spec, profile: HardwareProfile, hardware: Hardware | None = None
) -> tuple[Spec, Plan] | None:
    """Return the first plan that fits, cheapest change first: a higher ZeRO stage costs almost nothing, smaller
    micro-batches use the device less, recomputation adds up to a third of the work, offloading waits for the host, and
    more ranks take devices from others. None where no change is enough, or the memory is unknown."""
    if not profile.memory_bytes:
        return None
    dtype, limit = resolve_dtype(spec, profile), profile.memory_bytes * FITS_SHARE
    for parallel, micro in _cheapest_changes_first(spec, hardware.gang_limit if hardware else None):
        other = _with_layout(spec, parallel, micro)
        if (
            peak_bytes(other, dtype, profile) <= limit
            and is_host_enough(other, dtype, profile)
            and _is_possible(other, hardware)
        ):
            return other, plan(other, profile, dtype=dtype)
    return None


def search(
    spec: Spec,
    profile: HardwareProfile,
    calibration: Calibration | None = None,
    *,
    devices: int,
    goal: Goal = "time",
    limit: int = 8,
    hardware: Hardware | None = None,
) -> SearchResult:
    """Return the best plans that fit at most `devices` devices and pass every rule of engine.spec.checks: at most
    `limit`, one for each grid and ZeRO stage. Where the device's memory is unknown, all count as fitting."""
    began = time.process_time()
    dtype = resolve_dtype(spec, profile)
    if why_not := time_unavailable_reason(
        spec.model_copy(update={"parallel": Parallel(data=1)}), dtype, profile
    ):
        return SearchResult((), 0, 0, time.process_time() - began, why_not)
    room = profile.memory_bytes * FITS_SHARE if profile.memory_bytes else float("inf")
    tried, fitting = 0, 0
    ranked: dict[tuple[int, ...], tuple[float, int, Spec, float]] = {}  # the best of each grid and ZeRO stage
    for other in _candidates(spec, devices):
        tried += 1
        peak = peak_bytes(other, dtype, profile)
        if peak > room or time_unavailable_reason(other, dtype, profile):
            continue
        if not is_host_enough(other, dtype, profile):
            continue
        phases = phase_times(other, dtype, profile, calibration)
        price = _price(goal, phases, profile, other.parallel.world_size)
        if price is not None:
            fitting += 1
            one, parallel = (price, tried, other, peak), other.parallel
            key = (parallel.data, parallel.tensor, parallel.stages, parallel.zero_stage)
            ranked[key] = min(ranked.get(key, one), one, key=lambda row: row[:2])
    best: list[PlanCandidate] = []
    for _, _, other, peak in sorted(ranked.values(), key=lambda row: row[:2]):
        if len(best) < limit and _is_possible(other, hardware):
            span = step_time(other, dtype, profile, calibration)
            fits, changes = fit_label(peak, profile.memory_bytes), layout_changes(spec, other)
            best.append(PlanCandidate(other, changes, peak, fits, span.step_s, span.energy_j, span.money))
    why_not = "" if best else "No plan that fits passes the rules of this pool."
    if not fitting:
        why_not = _why_none(goal, profile, tried)
    return SearchResult(tuple(best), tried, fitting, time.process_time() - began, why_not)


def _price(goal: Goal, phases: dict[str, Estimate], profile: HardwareProfile, ranks: int) -> float | None:
    """Return the figure of one step by which plans are ranked; None where it is unknown."""
    if goal == "energy":
        joules = step_energy(phases, profile, ranks)
        return joules.point if joules else None
    seconds = sum(span.point for span in phases.values())
    if goal == "time":
        return seconds
    each = profile.price_per_device_hour
    return None if each is None else seconds * ranks * each / 3600


def layout_changes(spec: Spec, other: Spec) -> dict[str, Any]:
    """Layout fields in which `other` differs from `spec`, with its values."""
    before, after = flatten(spec.model_dump()), flatten(other.model_dump())
    return {path: after[path] for path in FIELDS if before[path] != after[path]}


def _why_none(goal: Goal, profile: HardwareProfile, tried: int) -> str:
    if goal == "energy" and profile.power is None:
        return f"Not available: the power levels of {profile.name} are not known."
    if goal == "money" and profile.price_per_device_hour is None:
        return "Not available: no price is set for this device."
    return f"None of {tried:,} plans fits."


def _candidates(spec: Spec, devices: int) -> Iterator[Spec]:
    """Every grid on all devices, half of them, a quarter and so on, with each combination of ZeRO stage, micro-batch,
    recomputation and offloading that may work together."""
    heads, layers = spec.model.heads, spec.model.num_encoder_layers + spec.model.num_decoder_layers
    for world in _halves(devices):
        for tensor in _divisors(world):
            if heads % tensor or spec.model.num_kv_heads % tensor or spec.model.ffn_width % tensor:
                continue
            for stages in _divisors(world // tensor):
                if stages <= layers:
                    yield from _grid_candidates(spec, world // tensor // stages, tensor, stages)


def _grid_candidates(spec: Spec, data: int, tensor: int, stages: int) -> Iterator[Spec]:
    for micro in _micro_batches(spec, data):
        batch = _batch(spec, micro)
        for zero in (0, 1) if stages > 1 else (0, 1, 2, 3) if data > 1 else (0, 1):
            for recompute in Recomputes:
                for offload in ("none", "host") if zero and stages == 1 else ("none",):
                    parallel = _parallel(spec, data, tensor, stages, zero, recompute, offload, "none")
                    yield spec.model_copy(update={"parallel": parallel, "batch": batch})


def _cheapest_changes_first(spec: Spec, limit: int | None) -> Iterator[tuple[Parallel, int]]:
    now, tried = spec.parallel, spec.batch.micro_batch_size
    micros = [micro for micro in sorted(_micro_batches(spec, now.data), reverse=True) if micro <= tried]
    zeros = [zero for zero in range(now.zero_stage, 4) if now.stages == 1 or zero < 2]
    recomputes = Recomputes[Recomputes.index(now.activation_checkpointing) :]
    grids: list[tuple[int, int]] = [(now.tensor, now.stages)]
    room = (limit or now.world_size) // now.data
    grids += [(t, now.stages) for t in (2, 4, 8) if t > now.tensor and t * now.stages <= room]
    grids += [(now.tensor, p) for p in (2, 4, 8, 16) if p > now.stages and p * now.tensor <= room]
    offloads = [(now.offload_optimiser, now.offload_parameters), ("host", "none"), ("host", "host")]
    for tensor, stages in grids:
        for optimiser, parameters in offloads:
            for recompute in recomputes:
                for micro in micros:
                    for zero in zeros:
                        if (stages > 1 and zero > 1) or (optimiser != "none" and not zero):
                            continue
                        if parameters != "none" and zero < 3:
                            continue
                        yield (
                            _parallel(spec, now.data, tensor, stages, zero, recompute, optimiser, parameters),
                            micro,
                        )


def _parallel(
    spec: Spec,
    data: int,
    tensor: int,
    stages: int,
    zero: int,
    recompute: str,
    optimiser: str,
    parameters: str,
) -> Parallel:
    values: dict[str, Any] = {
        "data": data, "tensor": tensor, "stages": stages, "zero_stage": zero, "activation_checkpointing": recompute,
        "offload_optimiser": optimiser, "offload_parameters": parameters,
    }  # fmt: skip
    return spec.parallel.model_copy(update=values)


def _with_layout(spec: Spec, parallel: Parallel, micro: int) -> Spec:
    return spec.model_copy(update={"parallel": parallel, "batch": _batch(spec, micro)})


def _batch(spec: Spec, micro: int) -> BatchSizes:
    return spec.batch.model_copy(update={"micro_batch_size": micro})


def _is_possible(spec: Spec, hardware: Hardware | None) -> bool:
    try:
        refuse_impossible(spec, hardware)
    except SpecError:
        return False
    return True


def _micro_batches(spec: Spec, data: int) -> list[int]:
    """Powers of two and the spec's own value, of those that divide the global batch evenly."""
    whole = spec.batch.global_batch_size
    if whole % data:
        return []
    powers = {2**k for k in range(13)} | {spec.batch.micro_batch_size}
    return sorted(micro for micro in powers if micro <= MAX_MICRO_BATCH and (whole // data) % micro == 0)


def _divisors(number: int) -> Sequence[int]:
    return [one for one in range(1, number + 1) if number % one == 0]


def _halves(number: int) -> Iterator[int]:
    while number >= 1:
        yield number
        if number % 2:
            break
        number //= 2
