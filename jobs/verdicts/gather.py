"""The facts of a run, read from its series: a window of the newest steps, and its devices while those were made.

Bounded whatever the length of the run: at most 256 steps of at most 64 ranks, and 256 readings a device.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping

import numpy as np

from engine.spec.spec import SpecError, parse
from engine.telemetry.metrics import STEP_PHASES
from engine.verdict.facts import Device as DeviceFacts
from engine.verdict.facts import Facts, Floats
from engine.verdict.steady import WINDOW_STEPS, Ints, Told
from engine.verdict.steady import facts_of as facts_of_steps
from jobs import series
from jobs.models import Attempt, Job, Lease, Run, RunMetric
from jobs.series import Series

Steps = Mapping[tuple[int, str], tuple[Ints, Floats]]
RANKS_READ = 64  # of more, so many spread evenly; the verdict then says that not every rank was heard
READINGS = 256
# Over the window of steps: means. Over the whole run: the fullest memory, and the fastest clock.
MEANS = (
    "sm_active_share", "tensor_active_share", "memory_bandwidth_share", "power_throttle_share", "power_w",
    "thermal_throttle_share", "cpu_pressure_share", "sm_clock_hz",
)  # fmt: skip
ALLOCATOR = ("alloc_retries", "alloc_failures")
PEAK, CLOCK = "memory_used_bytes", "sm_clock_hz"

LOGGED = "Fourwalls did not launch this run, so nobody has measured where the time of its steps went."
FABRIC = "A fabric test trains nothing: its result is what it says of the links."
NO_STEP = "No step has been made yet."
NO_STEP_MADE = "It ended before its first step."


def facts_of(run: Run) -> Facts:
    """Of the newest steps of a run; with the reason where there is nothing to judge."""
    job = run.job
    why = _nothing(run, job)
    if why or job is None:
        return Facts(spec=run.spec or {}, nothing=why)
    attempt = job.attempts.order_by("-number").first()
    first = max(1, job.step - WINDOW_STEPS + 1)
    found = series.read(
        [run.id], (*STEP_PHASES, "step_s", "collective_bytes", *ALLOCATOR), points=WINDOW_STEPS, lo=first, hi=job.step,
        sources=_sources(job),
    )  # fmt: skip
    told = {(_rank(one), one.metric): _columns(one) for one in found if one.source != "run"}
    own = next((_columns(one) for one in found if one.metric == "step_s"), (_NO_STEPS, np.empty(0)))
    facts = facts_of_steps(
        Told(
            spec=run.spec, first_step=first, last_step=job.step, series=told, step_s=own,
            seats=_seats(attempt), world_size=job.num_devices,
            starts={1, *(int(border) for one in found for border in one.borders)},
            devices=_devices(run, attempt, own[1], _retries(told)),
        )
    )  # fmt: skip
    return facts.without(
        mfu_share=_mean(run, "mfu_share"),
        ofu_share=_mean(run, "ofu_share"),
        faults=_faults(attempt),
        ran_out_of_memory=_ran_out(job) or _greatest(told, "alloc_failures") > 0,
    )


_NO_STEPS: Ints = np.empty(0, dtype=np.int64)


def _nothing(run: Run, job: Job | None) -> str:
    if job is None:
        return LOGGED
    if run.spec.get("kind", "training") != "training":
        return FABRIC
    try:
        parse(run.spec)
    except SpecError as error:
        return f"Its spec is of another version of Fourwalls: {error.problems[0].message}"
    return "" if job.step else NO_STEP_MADE if job.ended_at else NO_STEP


def _sources(job: Job) -> Collection[str]:
    ranks: Iterable[int] = range(job.num_devices)
    if job.num_devices > RANKS_READ:
        ranks = sorted({round(rank) for rank in np.linspace(0, job.num_devices - 1, RANKS_READ)})
    return {"run", *(f"rank{rank}" for rank in ranks)}


def _rank(one: Series) -> int:
    return int(one.source.removeprefix("rank"))


def _columns(one: Series) -> tuple[Ints, Floats]:
    return one.x.astype(np.int64), one.mean


def _seats(attempt: Attempt | None) -> dict[int, tuple[int, int, str]]:
    said = attempt.placement.get("seats", ()) if attempt else ()
    return {seat["rank"]: (seat["stage"], seat["data_rank"], seat["device"]) for seat in said}


def _retries(told: Steps) -> dict[int, float]:
    """Rank -> how often its allocator had to give memory back, in the window."""
    return {
        rank: float(values.max() - values.min())
        for (rank, metric), (_, values) in told.items()
        if metric == "alloc_retries" and len(values)
    }


def _greatest(told: Steps, wanted: str) -> float:
    found = [
        float(values.max()) for (_, metric), (_, values) in told.items() if metric == wanted and len(values)
    ]
    return max(found, default=0.0)


def _devices(
    run: Run, attempt: Attempt | None, step_s: Floats, retries: Mapping[int, float]
) -> tuple[DeviceFacts, ...]:
    if attempt is None:
        return ()
    leased = [lease.device for lease in attempt.leases.order_by("rank").select_related("device")]
    sources = {f"device:{device.id}" for device in leased[:RANKS_READ]}
    means = _means(run, sources, step_s)
    whole = series.read([run.id], (PEAK, CLOCK), x="time", points=READINGS, sources=sources)
    most = {
        (one.source, one.metric): float(np.nanmax(one.max)) for one in whole if np.isfinite(one.max).any()
    }
    found = []
    for rank, device in enumerate(leased[:RANKS_READ]):
        source = f"device:{device.id}"
        missing = run.missing.get(source, {})
        found.append(
            DeviceFacts(
                device=str(device), kind=device.kind, means=means.get(source, {}),
                peak_bytes=most.get((source, PEAK)), capacity_bytes=device.memory_bytes,
                alloc_retries=retries.get(rank),
                clock_reference_hz=most.get((source, CLOCK)) if device.kind == "cuda" else None,
                missing={metric: why for metric, (_, why) in missing.items()},
            )
        )  # fmt: skip
    return tuple(found)


def _means(run: Run, sources: Collection[str], step_s: Floats) -> dict[str, dict[str, float]]:
    """Source -> metric -> mean while the window's steps were made; those ended when the newest of them came in."""
    newest = RunMetric.objects.filter(run=run, key="step_s").values_list("last_at_us", flat=True).first()
    if newest is None or not len(step_s):
        return {}
    until = newest / 1e6
    found: dict[str, dict[str, float]] = {}
    for one in series.read(
        [run.id], MEANS, x="time", points=READINGS, lo=until - float(step_s.sum()), hi=until, sources=sources
    ):
        finite = np.isfinite(one.mean)
        if finite.any():
            mean = np.average(one.mean[finite], weights=one.counts[finite])
            found.setdefault(one.source, {})[one.metric] = float(mean)
    return found


def _mean(run: Run, key: str) -> float | None:
    return RunMetric.objects.filter(run=run, key=key).values_list("mean", flat=True).first()


def _faults(attempt: Attempt | None) -> tuple[str, ...]:
    if attempt is None:
        return ()
    faulty = Lease.objects.filter(attempt=attempt, is_faulty=True).select_related("device")
    return tuple(f"Device {lease.device} is suspected: {lease.device.health_reason}" for lease in faulty)


def _ran_out(job: Job) -> bool:
    said = job.attempts.filter(ended_at__isnull=False).values_list("reason", "stderr_tail")
    return any(
        "out of memory" in f"{reason} {tail}".lower() and "by hand" not in reason for reason, tail in said
    )
