"""Other plans for the same training: the nearest that fits, and the best of thousands by time, energy or money.

Model, data, global batch, optimiser and number format stay as they are, so every plan here trains the same thing.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from engine.planner.calibration import Calibration
from engine.planner.memory import peak_bytes
from engine.planner.plan import FITS_SHARE, TIGHT_SHARE, Plan
from engine.planner.predict import dtype_of, plan
from engine.planner.profile import DeviceProfile
from engine.planner.ranges import Range
from engine.planner.steptime import energy_of, phases_of, step_time, why_no_time
from engine.spec.checks import Hardware, refuse_impossible
from engine.spec.parts import Batch, Parallel
from engine.spec.spec import Spec, SpecError, flatten

By = Literal["time", "energy", "money"]
Recomputes = ("none", "selective", "full")
MOST_MICRO = 4096
FIELDS = (*(f"parallel.{name}" for name in Parallel.model_fields), "batch.micro_batch_size")


@dataclass(frozen=True)
class Found:
    """One plan of a search: the spec, which fields differ, and what is predicted of it."""

    spec: Spec
    changes: dict[str, Any]  # path -> value
    peak_bytes: float
    fits: str
    step_s: Range | None
    energy_j: Range | None
    money: Range | None


@dataclass(frozen=True)
class Search:
    best: tuple[Found, ...]
    tried: int
    fitting: int
    took_s: float  # of CPU
    why_not: str = ""  # why nothing could be ranked
    by: By = "time"
    devices: int = field(default=1)


def nearest(spec: Spec, profile: DeviceProfile, hardware: Hardware | None = None) -> tuple[Spec, Plan] | None:
    """The first that really fits, in the order of harm: more sharing costs next to nothing, smaller micro-batches fill
    the device less, recomputing costs up to a third more work, offloading waits for the host, and more ranks are
    somebody else's devices. None where nothing helps, or where the device's memory is not known."""
    if not profile.memory_bytes:
        return None
    dtype, limit = dtype_of(spec, profile), profile.memory_bytes * FITS_SHARE
    for parallel, micro in _by_harm(spec, hardware.gang_limit if hardware else None):
        other = _with(spec, parallel, micro)
        if peak_bytes(other, dtype, profile) <= limit and _is_possible(other, hardware):
            return other, plan(other, profile, dtype=dtype)
    return None


def search(
    spec: Spec,
    profile: DeviceProfile,
    calibration: Calibration | None = None,
    *,
    devices: int,
    by: By = "time",
    most: int = 8,
    hardware: Hardware | None = None,
) -> Search:
    """The best plans on at most `devices` devices, of those that fit; the kept ones have passed every rule of
    engine.spec.checks. Where the device's memory is not known, all count as fitting."""
    began = time.process_time()
    dtype = dtype_of(spec, profile)
    if why_not := why_no_time(spec.model_copy(update={"parallel": Parallel(data=1)}), dtype, profile):
        return Search((), 0, 0, time.process_time() - began, why_not, by, devices)
    limit = profile.memory_bytes * FITS_SHARE if profile.memory_bytes else float("inf")
    tried, fitting = 0, 0
    ranked: dict[tuple[int, ...], tuple[float, int, Spec, float]] = {}  # the best of each grid and ZeRO stage
    for other in _candidates(spec, devices):
        tried += 1
        peak = peak_bytes(other, dtype, profile)
        if peak > limit or why_no_time(other, dtype, profile):
            continue
        phases = phases_of(other, dtype, profile, calibration)
        price = _price(by, phases, profile, other.parallel.world_size)
        if price is not None:
            fitting += 1
            one, parallel = (price, tried, other, peak), other.parallel
            key = (parallel.data, parallel.tensor, parallel.stages, parallel.zero_stage)
            ranked[key] = min(ranked.get(key, one), one, key=lambda row: row[:2])
    best: list[Found] = []
    for _, _, other, peak in sorted(ranked.values(), key=lambda row: row[:2]):
        if len(best) < most and _is_possible(other, hardware):
            span = step_time(other, dtype, profile, calibration)
            fits, changes = _label(peak, profile), changes_of(spec, other)
            best.append(Found(other, changes, peak, fits, span.step_s, span.energy_j, span.money))
    why_not = "" if best else "No plan that fits passes the rules of this pool."
    if not fitting:
        why_not = _why_none(by, profile, tried)
    return Search(tuple(best), tried, fitting, time.process_time() - began, why_not, by, devices)


def _price(by: By, phases: dict[str, Range], profile: DeviceProfile, ranks: int) -> float | None:
    """Of one step, by which plans are ranked."""
    if by == "energy":
        joules = energy_of(phases, profile, ranks)
        return joules.point if joules else None
    seconds = sum(span.point for span in phases.values())
    if by == "time":
        return seconds
    each = profile.price_per_device_hour
    return None if each is None else seconds * ranks * each / 3600


def changes_of(spec: Spec, other: Spec) -> dict[str, Any]:
    before, after = flatten(spec.model_dump()), flatten(other.model_dump())
    return {path: after[path] for path in FIELDS if before[path] != after[path]}


def _why_none(by: By, profile: DeviceProfile, tried: int) -> str:
    if by == "energy" and profile.power is None:
        return f"Not available: the power levels of {profile.name} are not known."
    if by == "money" and profile.price_per_device_hour is None:
        return "Not available: nobody has said what a device costs."
    return f"None of {tried:,} plans fits."


def _label(peak: float, profile: DeviceProfile) -> str:
    if not profile.memory_bytes:
        return "unknown"
    share = peak / profile.memory_bytes
    return "fits" if share <= FITS_SHARE else "tight" if share <= TIGHT_SHARE else "will not fit"


def _candidates(spec: Spec, devices: int) -> Iterator[Spec]:
    """Every grid on as many devices as there are, or on half of them, a quarter and so on; with each, ZeRO stages,
    micro-batches, recomputation and offloading that could go together."""
    heads, layers = spec.model.heads, spec.model.num_encoder_layers + spec.model.num_decoder_layers
    for world in _halves(devices):
        for tensor in _divisors(world):
            if heads % tensor or spec.model.num_kv_heads % tensor or spec.model.ffn_width % tensor:
                continue
            for stages in _divisors(world // tensor):
                if stages <= layers:
                    yield from _of_grid(spec, world // tensor // stages, tensor, stages)


def _of_grid(spec: Spec, data: int, tensor: int, stages: int) -> Iterator[Spec]:
    for micro in _micro_batches(spec, data):
        batch = _batch(spec, micro)
        for zero in (0, 1) if stages > 1 else (0, 1, 2, 3) if data > 1 else (0, 1):
            for recompute in Recomputes:
                for offload in ("none", "host") if zero and stages == 1 else ("none",):
                    parallel = _parallel(spec, data, tensor, stages, zero, recompute, offload, "none")
                    yield spec.model_copy(update={"parallel": parallel, "batch": batch})


def _by_harm(spec: Spec, limit: int | None) -> Iterator[tuple[Parallel, int]]:
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


def _with(spec: Spec, parallel: Parallel, micro: int) -> Spec:
    return spec.model_copy(update={"parallel": parallel, "batch": _batch(spec, micro)})


def _batch(spec: Spec, micro: int) -> Batch:
    return spec.batch.model_copy(update={"micro_batch_size": micro})


def _is_possible(spec: Spec, hardware: Hardware | None) -> bool:
    try:
        refuse_impossible(spec, hardware)
    except SpecError:
        return False
    return True


def _micro_batches(spec: Spec, data: int) -> list[int]:
    """Powers of two, and what the spec says, that cut the global batch evenly."""
    whole = spec.batch.global_batch_size
    if whole % data:
        return []
    powers = {2**k for k in range(13)} | {spec.batch.micro_batch_size}
    return sorted(micro for micro in powers if micro <= MOST_MICRO and (whole // data) % micro == 0)


def _divisors(number: int) -> Sequence[int]:
    return [one for one in range(1, number + 1) if number % one == 0]


def _halves(number: int) -> Iterator[int]:
    while number >= 1:
        yield number
        if number % 2:
            break
        number //= 2
