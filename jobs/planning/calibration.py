"""Corrections of the planner by device, relearnt whenever a run ends."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable

from django.db import transaction
from django.db.models import F, QuerySet

from engine import planner
from engine.planner import PHASES, PLANNER_VERSION, Calibration
from engine.planner.calibration import MEMORY
from jobs.models import Correction, Forecast

RUNS_LEARNT_FROM = 50  # the newest, so that corrections follow driver updates
FIELD_BY_PHASE = {phase: phase for phase in PHASES} | {MEMORY: "memory_bytes"}
PHASE_BY_FIELD = {field: phase for phase, field in FIELD_BY_PHASE.items()}


def get_calibration(device: str) -> Calibration | None:
    """Return the corrections for a device; None before a run planned by this version has ended on one."""
    rows = Correction.objects.filter(device=device, planner_version=PLANNER_VERSION)
    found = tuple(planner.PhaseCorrection(r.dtype, r.phase, r.ratio, r.low, r.high, r.n) for r in rows)
    return Calibration(device, found) if found else None


def recompute_corrections(device: str | None = None) -> int:
    """Replace the corrections of one device, or of all, by those that judged forecasts give; return their number."""
    rows = _usable_forecasts()
    if device is not None:
        rows = rows.filter(device=device)
    ratios: defaultdict[tuple[str, str, str], list[float]] = defaultdict(list)
    uncontended = set()
    columns = ("device", "dtype", "field", "measured", "raw", "is_contended")
    for name, dtype, field, measured, raw, is_contended in rows.values_list(*columns):
        key = name, dtype, PHASE_BY_FIELD[field]
        if not is_contended:
            uncontended.add(key)
        if len(ratios[key]) < RUNS_LEARNT_FROM and not (is_contended and key in uncontended):
            ratios[key].append(measured / raw)
    corrections = [
        _build_row(name, planner.fit_correction(dtype, phase, found))
        for (name, dtype, phase), found in sorted(ratios.items())
        if found
    ]
    with transaction.atomic():
        old = Correction.objects.filter(planner_version=PLANNER_VERSION)
        (old if device is None else old.filter(device=device)).delete()
        Correction.objects.bulk_create(corrections)
    return len(corrections)


def update_corrections(devices: Iterable[str]) -> None:
    for device in sorted(set(devices)):
        recompute_corrections(device)


def _usable_forecasts() -> QuerySet[Forecast]:
    """Forecasts with a measured and an uncorrected figure, on the device that the plan assumed. Contended ones come
    last: they count only where no other exists."""
    return Forecast.objects.filter(
        measured__gt=0,
        raw__gt=0,
        planner_version=PLANNER_VERSION,
        field__in=PHASE_BY_FIELD,
        planned_device=F("device"),
    ).order_by("is_contended", "-judged_at", "-id")


def _build_row(device: str, found: planner.PhaseCorrection) -> Correction:
    return Correction(
        device=device, dtype=found.dtype, phase=found.phase, planner_version=PLANNER_VERSION,
        n=found.n, ratio=found.ratio, low=found.low, high=found.high,
    )  # fmt: skip
