"""Facts of a run, collected from its series, leases and attempts.

The reads are bounded for a run of any length: at most 256 steps of at most 64 ranks, and 256 readings per device.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping

import numpy as np

from engine.hardware.device_failures import describe_failures, is_hardware_fault
from engine.spec.spec import SpecError, parse
from engine.telemetry.metrics import STEP_PHASES
from engine.verdict.facts import ClockFacts, DeviceFacts, Facts, Floats
from engine.verdict.readings import RESIDENT
from engine.verdict.rules import COUNTER_METRICS, DEVICE_METRICS, PEAK_METRICS
from engine.verdict.steady import WINDOW_STEPS, Ints, RecordedSteps, build_facts
from engine.verdict.throttling import CLOCK
from jobs import ledger, series
from jobs.models import Attempt, Event, Job, Lease, Run, RunMetric
from jobs.planning import plans
from jobs.series import Series
from jobs.verdicts.device_readings import Readings, summarise_readings
from jobs.verdicts.foreign import collect_logged_facts

Steps = Mapping[tuple[int, str], tuple[Ints, Floats]]  # (rank, metric) -> steps and values
RANKS_READ = 64  # of a larger run, spread evenly; its verdict says that ranks are missing
READINGS = 256
ALLOCATOR = ("alloc_retries", "alloc_failures")

FABRIC = "A fabric test trains no model: its result is its figures of the links."
NO_STEP = "No step has been made yet."
NO_STEP_MADE = "It ended before its first step."


def collect_facts(run: Run) -> Facts:
    """The facts of the run's newest steps, or the reason why there is nothing to judge."""
    job = run.job
    if job is None:
        return collect_logged_facts(run)
    reason = _get_absence_reason(run, job)
    if reason:
        return Facts(spec=run.spec or {}, nothing=reason)
    attempt = job.attempts.order_by("-number").first()
    first = max(1, job.step - WINDOW_STEPS + 1)
    found = series.read(
        [run.id], (*STEP_PHASES, "step_s", "collective_bytes", *ALLOCATOR), points=WINDOW_STEPS, lo=first, hi=job.step,
        sources=_get_sources(job),
    )  # fmt: skip
    recorded = {(_get_rank(one), one.metric): _get_columns(one) for one in found if one.source != "run"}
    step_s = next((_get_columns(one) for one in found if one.metric == "step_s"), (_NO_STEPS, np.empty(0)))
    facts = build_facts(
        RecordedSteps(
            spec=run.spec, first_step=first, last_step=job.step, series=recorded, step_s=step_s,
            seats=_get_seats(attempt), world_size=job.num_devices,
            starts={1, *(int(border) for one in found for border in one.borders)},
            devices=_collect_devices(run, attempt, step_s[1], _count_retries(recorded)),
        )
    )  # fmt: skip
    return facts.replace(
        mfu_share=_get_mean(run, "mfu_share"),
        ofu_share=_get_mean(run, "ofu_share"),
        faults=_get_faults(attempt),
        clock=_get_clock(run),
        profile=plans.get_profile(job.pool),
        ran_out_of_memory=_ran_out_of_memory(job) or _get_greatest(recorded, "alloc_failures") > 0,
    )


def _get_clock(run: Run) -> ClockFacts | None:
    """The clocks of all attempts; None if the ranks recorded none."""
    found = ledger.build_ledger(run)
    if found is None or not found.is_recorded:
        return None
    return ClockFacts(
        found.seconds,
        found.num_steps,
        found.num_lost_steps,
        len(found.attempts),
        found.waited_s.get("queued", 0.0),
    )


_NO_STEPS: Ints = np.empty(0, dtype=np.int64)


def _get_absence_reason(run: Run, job: Job) -> str:
    if run.spec.get("kind", "training") != "training":
        return FABRIC
    try:
        parse(run.spec)
    except SpecError as error:
        return f"Its spec is of another version of Fourwalls: {error.problems[0].message}"
    return "" if job.step else NO_STEP_MADE if job.ended_at else NO_STEP


def _get_sources(job: Job) -> Collection[str]:
    ranks: Iterable[int] = range(job.num_devices)
    if job.num_devices > RANKS_READ:
        ranks = sorted({round(rank) for rank in np.linspace(0, job.num_devices - 1, RANKS_READ)})
    return {"run", *(f"rank{rank}" for rank in ranks)}


def _get_rank(one: Series) -> int:
    return int(one.source.removeprefix("rank"))


def _get_columns(one: Series) -> tuple[Ints, Floats]:
    return one.x.astype(np.int64), one.mean


def _get_seats(attempt: Attempt | None) -> dict[int, tuple[int, int, str]]:
    """Rank -> stage, data rank, device."""
    seats = attempt.placement.get("seats", ()) if attempt else ()
    return {seat["rank"]: (seat["stage"], seat["data_rank"], seat["device"]) for seat in seats}


def _count_retries(recorded: Steps) -> dict[int, float]:
    """Rank -> allocator retries in the window."""
    return {
        rank: float(values.max() - values.min())
        for (rank, metric), (_, values) in recorded.items()
        if metric == "alloc_retries" and len(values)
    }


def _get_greatest(recorded: Steps, wanted: str) -> float:
    found = [
        float(values.max())
        for (_, metric), (_, values) in recorded.items()
        if metric == wanted and len(values)
    ]
    return max(found, default=0.0)


def _collect_devices(
    run: Run, attempt: Attempt | None, step_s: Floats, retries: Mapping[int, float]
) -> tuple[DeviceFacts, ...]:
    if attempt is None:
        return ()
    leased = [lease.device for lease in attempt.leases.order_by("rank").select_related("device__node")]
    sources = {f"device:{device.id}" for device in leased[:RANKS_READ]}
    means = _get_means(run, sources, step_s)
    whole_run = summarise_readings(
        series.read([run.id], (*PEAK_METRICS, *COUNTER_METRICS), x="time", points=READINGS, sources=sources)
    )
    found = []
    for rank, device in enumerate(leased[:RANKS_READ]):
        source = f"device:{device.id}"
        missing, readings = run.missing.get(source, {}), whole_run.get(source, Readings())
        found.append(
            DeviceFacts(
                device=device.id, name=str(device), kind=device.kind, means=means.get(source, {}),
                peak_bytes=readings.peaks.get(RESIDENT), capacity_bytes=device.memory_bytes,
                alloc_retries=retries.get(rank),
                clock_reference_hz=readings.peaks.get(CLOCK) if device.kind == "cuda" else None,
                missing={metric: reason for metric, (_, reason) in missing.items()}, host=device.node.name,
                peaks=readings.peaks, increases=readings.increases, read_s=readings.read_s,
            )
        )  # fmt: skip
    return tuple(found)


def _get_means(run: Run, sources: Collection[str], step_s: Floats) -> dict[str, dict[str, float]]:
    """Source -> metric -> mean over the window, which ends with the newest recorded step."""
    newest = RunMetric.objects.filter(run=run, key="step_s").values_list("last_at_us", flat=True).first()
    if newest is None or not len(step_s):
        return {}
    end = newest / 1e6
    start = end - float(step_s.sum())
    found: dict[str, dict[str, float]] = {}
    for one in series.read(
        [run.id], DEVICE_METRICS, x="time", points=READINGS, lo=start, hi=end, sources=sources
    ):
        finite = np.isfinite(one.mean)
        if finite.any():
            mean = np.average(one.mean[finite], weights=one.counts[finite])
            found.setdefault(one.source, {})[one.metric] = float(mean)
    return found


def _get_mean(run: Run, key: str) -> float | None:
    return RunMetric.objects.filter(run=run, key=key).values_list("mean", flat=True).first()


def _get_faults(attempt: Attempt | None) -> tuple[str, ...]:
    """Hardware faults that drivers reported during the attempt, and devices that it failed on."""
    if attempt is None:
        return ()
    notes = Event.objects.filter(
        job=attempt.job_id, attempt_number=attempt.number, kind="note.error", actor__startswith="device:"
    )
    found = [text for text in notes.order_by("id").values_list("text", flat=True) if is_hardware_fault(text)]
    faulty = Lease.objects.filter(attempt=attempt, is_faulty=True).select_related("device")
    found += [
        describe_failures(str(lease.device), lease.device.health_reason or attempt.reason) for lease in faulty
    ]
    return tuple(dict.fromkeys(found))


def _ran_out_of_memory(job: Job) -> bool:
    ends = job.attempts.filter(ended_at__isnull=False).values_list("reason", "stderr_tail")
    return any(
        "out of memory" in f"{reason} {tail}".lower() and "by hand" not in reason for reason, tail in ends
    )
