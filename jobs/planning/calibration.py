"""How far predictions were off on each kind of device: corrections, learnt anew whenever a run has ended."""

from __future__ import annotations

import statistics
from collections import defaultdict
from collections.abc import Iterable, Sequence

from django.db import transaction
from django.db.models import F

from engine import planner
from engine.planner import PHASES, PLANNER_VERSION, Calibration
from engine.planner.calibration import MEMORY
from jobs.models import Correction, Forecast

RUNS_LEARNT_FROM = 50  # the newest, so that a driver of last year is forgotten
FIELD_OF = {phase: phase for phase in PHASES} | {MEMORY: "memory_bytes"}
PHASE_OF = {field: phase for phase, field in FIELD_OF.items()}
# What a handful of runs may be off from the next ones: +-25 % after one, less with the root of their number.
UNSURE_SHARE = 0.25


def of_device(device: str) -> Calibration | None:
    """None where no run on such a device has ended yet, or none that this version of the planner had planned."""
    rows = Correction.objects.filter(device=device, planner_version=PLANNER_VERSION)
    found = tuple(planner.PhaseCorrection(r.dtype, r.phase, r.ratio, r.low, r.high, r.n) for r in rows)
    return Calibration(device, found) if found else None


def recompute(device: str | None = None) -> int:
    """Make the corrections of one device, or of all, from the forecasts that were judged; returns how many there are.
    A forecast without a measured and a raw predicted figure teaches nothing, nor one of another kind of device than
    the plan had taken it for; what took its time while others competed teaches only where nothing else does."""
    rows = Forecast.objects.filter(
        measured__gt=0,
        raw__gt=0,
        planner_version=PLANNER_VERSION,
        field__in=PHASE_OF,
        planned_device=F("device"),
    ).order_by("is_contended", "-judged_at", "-id")
    if device is not None:
        rows = rows.filter(device=device)
    ratios: defaultdict[tuple[str, str, str], list[float]] = defaultdict(list)
    calm = set()
    columns = ("device", "dtype", "field", "measured", "raw", "is_contended")
    for name, dtype, field, measured, raw, is_contended in rows.values_list(*columns):
        key = name, dtype, PHASE_OF[field]
        if not is_contended:
            calm.add(key)
        if len(ratios[key]) < RUNS_LEARNT_FROM and not (is_contended and key in calm):
            ratios[key].append(measured / raw)
    made = [_correction(key, found) for key, found in sorted(ratios.items()) if found]
    with transaction.atomic():
        old = Correction.objects.filter(planner_version=PLANNER_VERSION)
        (old if device is None else old.filter(device=device)).delete()
        Correction.objects.bulk_create(made)
    return len(made)


def learn_from(devices: Iterable[str]) -> None:
    for device in sorted(set(devices)):
        recompute(device)


def _correction(key: tuple[str, str, str], ratios: Sequence[float]) -> Correction:
    device, dtype, phase = key
    ratio, unsure = statistics.median(ratios), 1 + UNSURE_SHARE / len(ratios) ** 0.5
    low, high = _tenths(ratios)
    return Correction(
        device=device, dtype=dtype, phase=phase, planner_version=PLANNER_VERSION, n=len(ratios),
        ratio=ratio, low=min(low, ratio / unsure), high=max(high, ratio * unsure),
    )  # fmt: skip


def _tenths(values: Sequence[float]) -> tuple[float, float]:
    """10th and 90th percentile."""
    if len(values) == 1:
        return values[0], values[0]
    cuts = statistics.quantiles(values, n=10, method="inclusive")
    return cuts[0], cuts[-1]
