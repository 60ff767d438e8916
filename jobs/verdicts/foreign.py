"""Facts and verdicts of runs that Fourwalls did not launch.

The steps are those that the script marks, the readings those that its client ships. What it does not mark is not
claimed: its time is in no phase. Such a run has no spec, so no remedy is predicted.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Collection, Iterable, Mapping

import msgspec
import numpy as np

from engine.telemetry.metrics import STEP_PHASES
from engine.verdict.facts import NEEDED_PHASES, ClockFacts, DeviceFacts, Facts, Floats
from engine.verdict.formatting import format_share
from engine.verdict.judge import judge
from engine.verdict.readings import LIMIT, RESIDENT
from engine.verdict.results import ProposedRemedy, Verdict
from engine.verdict.rule import ComputeBoundRule
from engine.verdict.rules import BY_ID, COUNTER_METRICS, DEVICE_METRICS, PEAK_METRICS
from engine.verdict.steady import WINDOW_STEPS, Ints, RecordedSteps, build_facts
from engine.verdict.stolen import PRESSURES
from engine.verdict.thresholds import UNACCOUNTED
from engine.verdict.throttling import CLOCK
from jobs import ledger, series
from jobs.models import Run, RunMetric
from jobs.series import Series
from jobs.states.jobs import FINAL
from jobs.verdicts.device_readings import Readings, summarise_readings

SPEC = {"kind": "logged"}  # parses as no spec, so that no rule predicts a change of one
RANKS_READ = 64
DEVICES_READ = 64
READINGS = 256
NETWORK = ("network_tx_bytes_per_s", "network_rx_bytes_per_s")
LEAST_WINDOW_S = 30.0  # of the readings of devices; they come every two seconds
UNMARKED_WINDOW_S = 600.0
NOT_MARKED = (
    "The script marks no steps, so no limit can be named. `with run.step():` and `run.phase(...)` mark them, and the "
    "verdict follows."
)
NO_CLIENT = "Its client reports neither steps nor their phases, so no limit of the steps can be named."
NO_REMEDY = "the run has no spec that the step model could predict"

Steps = dict[tuple[int, str], tuple[Ints, Floats]]


def collect_logged_facts(run: Run) -> Facts:
    """The facts of the newest marked steps, with the readings of the devices around them; without marks the readings
    of the last ten minutes."""
    found = _read_steps(run)
    step_s = next((one for one in found if one.metric == "step_s" and one.source == "run"), None)
    if step_s is None or not len(step_s.x):
        reason = NOT_MARKED if run.origin == "fourwalls" else NO_CLIENT
        return Facts(spec=SPEC, devices=_collect_devices(run, UNMARKED_WINDOW_S), nothing=reason)
    numbers = step_s.x.astype(np.int64)
    durations = step_s.mean.astype(float)
    phases, offset = _align(found, numbers), _count(run) - len(numbers)
    offset = max(0, offset)
    ordinals = np.arange(offset + 1, offset + len(numbers) + 1, dtype=np.int64)
    ranks = sorted({rank for rank, _ in phases}) or [0]
    devices = _collect_devices(run, max(1.5 * float(durations.sum()), LEAST_WINDOW_S))
    _cap_hidden_waits(phases, durations, devices)
    facts = build_facts(
        RecordedSteps(
            spec=SPEC,
            first_step=int(ordinals[0]),
            last_step=int(ordinals[-1]),
            series={
                key: (ordinals, values) for key, values in _complete(phases, durations, ranks).items()
            },
            step_s=(ordinals, durations),
            seats={rank: (0, rank, _get_host_device(devices)) for rank in ranks},
            world_size=len(ranks),
            starts={1, *(int(ordinals[np.searchsorted(numbers, border)]) for border in step_s.borders
                         if numbers[0] < border <= numbers[-1])},
            devices=devices,
        )
    )  # fmt: skip
    return facts.replace(clock=_get_clock(run))


def judge_logged(facts: Facts) -> Verdict:
    """The verdict, without a claim about the part of the step that the script does not mark."""
    verdict = judge(facts)
    if not verdict.rules:
        return verdict
    marked_s = sum(float(np.mean(seconds)) for seconds in facts.ranks[0].phases.values())
    unmarked = max(0.0, 1 - marked_s / (verdict.step_s or marked_s or 1.0))
    is_bound = all(isinstance(BY_ID[rule], ComputeBoundRule) for rule in verdict.rules)
    if is_bound and unmarked >= UNACCOUNTED:
        reason = (
            f"Nothing that the script marks takes much of its time, but {format_share(unmarked)} of each step is in no "
            'phase, so no limit can be named. `with run.phase("forward"):` and the like mark them.'
        )
        return msgspec.structs.replace(
            verdict, rules=(), limit="", share=None, severity="", sentence="", nothing=reason, remedies=()
        )
    return msgspec.structs.replace(verdict, remedies=_list_remedies(verdict))


def is_stale(run: Run, judged_at: object, was_final: bool) -> bool:
    """Whether a logged run has sent something since it was judged."""
    if run.last_seen_at is None:
        return False
    return was_final != (run.state in FINAL) or bool(run.last_seen_at > judged_at)  # type: ignore[operator]


def _list_remedies(verdict: Verdict) -> tuple[ProposedRemedy, ...]:
    """What the winners suggest beside changes of a spec, unranked: nothing is predicted."""
    found: dict[str, ProposedRemedy] = {}
    for rule in (*verdict.rules, *(state.rule for state in verdict.states)):
        for remedy in BY_ID[rule].remedies:
            if remedy.spec_edit is None and not remedy.needs_gpu and remedy.audience != "jobs":
                found.setdefault(
                    remedy.id,
                    ProposedRemedy(remedy.id, rule, remedy.title, remedy.sentence, {}, message=NO_REMEDY),
                )
    return tuple(found.values())


def _read_steps(run: Run) -> list[Series]:
    """The newest marked steps; a step of the series may stand for several of the script."""
    newest = RunMetric.objects.filter(run=run, key="step_s").first()
    if newest is None or newest.last_step is None:
        return []
    last, count = newest.last_step, newest.count
    first = last - int(np.ceil(WINDOW_STEPS * max(1.0, (last + 1) / max(1, count)))) + 1
    sources = {"run", *(f"rank{rank}" for rank in range(RANKS_READ))}
    return series.read(
        [run.id], ("step_s", *STEP_PHASES), points=WINDOW_STEPS, lo=first, hi=last, sources=sources
    )


def _count(run: Run) -> int:
    return RunMetric.objects.filter(run=run, key="step_s").values_list("count", flat=True).first() or 0


def _align(found: Iterable[Series], numbers: Ints) -> dict[tuple[int, str], Floats]:
    """(rank, phase) -> its seconds in each step; 0 in a step in which a marked phase did not occur."""
    phases: dict[tuple[int, str], Floats] = {}
    for one in found:
        if not one.source.startswith("rank") or one.metric not in STEP_PHASES:
            continue
        row = phases.setdefault((int(one.source[4:]), one.metric), np.zeros(len(numbers)))
        at = np.searchsorted(numbers, one.x.astype(np.int64))
        at = np.minimum(at, len(numbers) - 1)
        row[at] = one.mean
    return phases


def _complete(
    phases: Mapping[tuple[int, str], Floats], step_s: Floats, ranks: Collection[int]
) -> dict[tuple[int, str], Floats]:
    """The phases; those that a script does not mark are 0 where the marked ones leave no room for them."""
    found = dict(phases)
    for rank in ranks:
        marked = sum((values for (one, _), values in phases.items() if one == rank), np.zeros(len(step_s)))
        has_room = float(marked.sum()) < (1 - UNACCOUNTED) * float(step_s.sum())
        for phase in NEEDED_PHASES:
            if not has_room or (phase == "communication_s" and len(ranks) == 1) or not phases:
                found.setdefault((rank, phase), np.zeros(len(step_s)))
    return found


def _cap_hidden_waits(
    phases: dict[tuple[int, str], Floats], step_s: Floats, devices: Collection[DeviceFacts]
) -> None:
    """A host that waits for data while its GPU computes loses nothing: the wait counts up to the GPU's idle time."""
    busy = [
        one.means["utilisation_pct"]
        for one in devices
        if one.kind == "cuda" and "utilisation_pct" in one.means
    ]
    if not busy:
        return
    idle = max(0.0, 1 - min(busy) / 100)
    for (rank, phase), waits in list(phases.items()):
        if phase == "data_wait_s":
            counted = np.minimum(waits, idle * step_s)
            phases[rank, phase] = counted
            hidden = phases.get((rank, "forward_s"), np.zeros(len(step_s)))
            phases[rank, "forward_s"] = hidden + waits - counted


def _get_host_device(devices: Collection[DeviceFacts]) -> str:
    """The CPU device, whose pressures stop the script, on a machine with GPUs too. With several hosts it is not known
    which of them a rank is on."""
    found = [device.device for device in devices if device.kind == "cpu"]
    return found[0] if len(found) == 1 else ""


def _get_clock(run: Run) -> ClockFacts | None:
    found = ledger.build_ledger(run)
    if found is None or not found.is_recorded:
        return None
    return ClockFacts(found.seconds, found.num_steps, found.num_lost_steps, len(found.attempts))


def _collect_devices(run: Run, window_s: float) -> tuple[DeviceFacts, ...]:
    """Every device that was read, with means of the newest readings."""
    known = {
        f"device:{device['id']}": device | {"host": host.name}
        for host in run.hosts.all()
        for device in host.devices
    }
    sources = sorted({name.source for name in series.names(run.id) if name.source.startswith("device:")})[
        :DEVICES_READ
    ]
    if not sources:
        return ()
    wanted = {*DEVICE_METRICS, *PEAK_METRICS, *COUNTER_METRICS}
    whole = series.read([run.id], sorted(wanted), x="time", points=READINGS, sources=sources)
    ends = [float(one.x[-1]) for one in whole if len(one.x)]
    since = max(ends, default=0.0) - window_s
    means: dict[str, dict[str, float]] = {}
    for one in whole:
        if one.metric not in DEVICE_METRICS:
            continue
        inside = (one.x >= since) & np.isfinite(one.mean)
        if inside.any():
            mean = float(np.average(one.mean[inside], weights=one.counts[inside]))
            means.setdefault(one.source, {})[one.metric] = mean
    extremes = summarise_readings(one for one in whole if one.metric in (*PEAK_METRICS, *COUNTER_METRICS))
    found = [
        _build_device(
            run, source, known.get(source, {}), means.get(source, {}), extremes.get(source, Readings())
        )
        for source in sources
    ]
    threads = {
        f"device:{one['id']}": host.facts.get("threads") for host in run.hosts.all() for one in host.devices
    }
    has_gpu = any(device.kind == "cuda" for device in found)
    return tuple(
        device
        if device.kind == "cuda"
        else _as_host(device)
        if has_gpu
        else _as_one_core(device, threads.get(source))
        for source, device in zip(sources, found, strict=True)
    )


def _build_device(
    run: Run,
    source: str,
    known: Mapping[str, object],
    means: Mapping[str, float],
    readings: Readings,
) -> DeviceFacts:
    name = source.removeprefix("device:")
    kind = str(known.get("kind") or ("cuda" if "gpu" in name.lower() else "cpu"))
    capacity = known.get("memory_bytes")
    return DeviceFacts(
        device=name,
        name=str(known.get("name") or name),
        kind=kind,
        means=means,
        peak_bytes=readings.peaks.get(RESIDENT),
        capacity_bytes=float(capacity) if isinstance(capacity, int | float) else None,
        clock_reference_hz=readings.peaks.get(CLOCK) if kind == "cuda" else None,
        missing={metric: why for metric, (_, why) in run.missing.get(source, {}).items()},
        host=str(known.get("host") or ""),
        # Resident memory of a tree of processes counts shared pages several times, so no limit is held against it.
        peaks={name: value for name, value in readings.peaks.items() if name != LIMIT},
        increases=readings.increases,
        read_s=readings.read_s,
    )


def _as_host(device: DeviceFacts) -> DeviceFacts:
    """The CPU beside GPUs: only its pressures and network are of the run's devices, not how busy it is."""
    kept = (*PRESSURES, *NETWORK)
    means = {name: value for name, value in device.means.items() if name in kept}
    return dataclasses.replace(device, means=means, peak_bytes=None)


def _as_one_core(device: DeviceFacts, threads: object) -> DeviceFacts:
    """A CPU device that the script uses with one thread: it is alone on one core of it."""
    used = device.means.get("cores_used")
    if threads != 1 or used is None:
        return device
    return dataclasses.replace(device, means={**device.means, "utilisation_pct": 100 * used})
