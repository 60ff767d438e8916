"""Rooflines of runs: achieved FLOP/s over FLOPs per byte, by phase of a step."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from engine.planner.predict import resolve_dtype
from engine.planner.rates import Work
from engine.planner.roofline import Ceilings, get_ceilings, step_work
from engine.spec.spec import SpecError, parse
from jobs import series
from jobs.models import Lease, Run
from jobs.planning import plans

PHASES = {
    "step_s": "Whole step",
    "forward_s": "Forward",
    "backward_s": "Backward",
    "optimiser_s": "Optimiser",
}
POINTS_READ = 2000
WARM_UP_SHARE = 3  # at most a third of a short run
WARM_UP_STEPS = 10
NO_SPEC = "This run was logged without a spec, so its FLOPs and bytes cannot be counted."
NO_STEPS = "No time of a step has been recorded yet."
NO_SPEEDS = (
    "The speeds of {device} are not known: it was not probed, and its data sheet is not in the table. "
    "The points have no ceiling."
)


@dataclass(frozen=True)
class RooflinePoint:
    """One phase of one run. FLOPs and bytes are counted by the step model, seconds are measured."""

    phase: str
    title: str
    flops: float
    bytes: float
    seconds: float
    limit_flops_per_s: float | None  # at its intensity; None: no ceiling is known

    @property
    def intensity(self) -> float:
        return self.flops / self.bytes

    @property
    def flops_per_s(self) -> float:
        return self.flops / self.seconds

    @property
    def share(self) -> float | None:
        return self.flops_per_s / self.limit_flops_per_s if self.limit_flops_per_s else None


@dataclass(frozen=True)
class RunRoofline:
    """`points` is empty with the reason in `why_not`. `ceilings` of the device of rank 0, or None with a note."""

    run: Run
    points: tuple[RooflinePoint, ...] = ()
    ceilings: Ceilings | None = None
    dtype: str = ""
    notes: tuple[str, ...] = field(default=())
    why_not: str = ""


def build_rooflines(runs: Sequence[Run]) -> list[RunRoofline]:
    """In the order of the runs. One read of series and one query of leases, and two of profiles for each kind of
    device."""
    seconds = _median_seconds([run.id for run in runs])
    devices = _devices(runs)
    return [_build(run, seconds.get(run.id, {}), devices.get(run.job_id or "")) for run in runs]


Device = tuple[str, str, float | None, int | None]  # name, kind, cores, memory


def _build(run: Run, seconds: Mapping[str, float], device: Device | None) -> RunRoofline:
    try:
        spec = parse(run.spec) if run.spec and run.spec.get("kind") != "fabric_test" else None
    except SpecError:
        spec = None
    if spec is None:
        return RunRoofline(run, why_not=NO_SPEC)
    if device is None or not seconds.get("step_s"):
        return RunRoofline(run, why_not=NO_STEPS)
    name, kind, cores, memory = device
    profile = plans.build_profile(name, kind, cores, memory)
    dtype = run.plan.get("dtype") or resolve_dtype(spec, profile)
    ceilings = get_ceilings(profile) if profile else None
    work = step_work(spec, dtype, kind, profile.architecture if profile else "")
    whole = Work(0.0, 0.0)
    for one in work.values():
        whole += one
    points = tuple(
        RooflinePoint(
            phase, title, one.flops, one.bytes, seconds[phase],
            ceilings.attainable(one.flops / one.bytes, dtype) if ceilings and dtype in ceilings.flops_per_s else None,
        )
        for phase, title in PHASES.items()
        if (one := whole if phase == "step_s" else work[phase]).flops > 0 and seconds.get(phase, 0) > 0
    )  # fmt: skip
    notes = () if ceilings else (NO_SPEEDS.format(device=name),)
    return RunRoofline(run, points, ceilings, dtype, notes)


def _median_seconds(ids: list[str]) -> dict[str, dict[str, float]]:
    """Run -> phase -> median of the steady steps, mean over the ranks."""
    found: defaultdict[str, defaultdict[str, list[float]]] = defaultdict(lambda: defaultdict(list))
    for line in series.read(ids, list(PHASES), points=POINTS_READ):
        if line.metric == "step_s" and line.source != "run":
            continue
        finite = line.mean[np.isfinite(line.mean)]
        steady = finite[min(WARM_UP_STEPS, len(finite) // WARM_UP_SHARE) :]
        if len(steady):
            found[line.run][line.metric].append(float(np.median(steady)))
    return {run: {name: float(np.mean(values)) for name, values in by.items()} for run, by in found.items()}


def _devices(runs: Sequence[Run]) -> dict[str, Device]:
    """Job -> device of rank 0 in its newest attempt."""
    leases = Lease.objects.filter(attempt__job__in=[run.job_id for run in runs if run.job_id], rank=0)
    columns = ("attempt__job", "device__name", "device__kind", "device__cores", "device__memory_bytes")
    return {job: device for job, *device in leases.order_by("attempt__number").values_list(*columns)}
