"""Hardware figures of runs: throughput, MFU, peak memory and energy per token."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from jobs import series
from jobs.models import Run, RunMetric
from jobs.series import Spread
from jobs.series.absence import NOT_RECORDED, first_reported_reason, lacks_energy

STEP_METRICS = ("tokens_per_s", "mfu_share")
# The first that a run has: used on the board, else held by the torch allocator, else resident.
MEMORY_METRICS = ("memory_used_bytes", "memory_peak_bytes", "rss_bytes")
# Figure -> metrics that it is read from
SOURCES: dict[str, tuple[str, ...]] = {
    **{metric: (metric,) for metric in STEP_METRICS},
    "memory": MEMORY_METRICS,
    "joules_per_token": ("energy_j",),
}


@dataclass(frozen=True)
class HardwareFigure:
    """One figure of one run; without a spread `reason` is set."""

    spread: Spread | None
    metric: str = ""  # that it was read from
    reason: str = ""


def get_hardware_figures(runs: Sequence[Run]) -> dict[str, dict[str, HardwareFigure]]:
    """Run -> figure, in the order of SOURCES. One query and two reads of series for any number of runs."""
    ids = [run.id for run in runs]
    found = _step_spreads(ids) | _memory_spreads(ids) | _energy_spreads(ids)
    return {run.id: {name: _get_figure(run, name, found) for name in SOURCES} for run in runs}


Spreads = dict[tuple[str, str], tuple[Spread, str]]  # run and figure -> spread and metric


def _step_spreads(ids: list[str]) -> Spreads:
    rows = RunMetric.objects.filter(run__in=ids, key__in=STEP_METRICS, num_finite__gt=0)
    return {
        (run, key): (Spread(mean, low, high), key)
        for run, key, mean, low, high in rows.values_list("run_id", "key", "mean", "low", "high")
        if mean is not None and low is not None and high is not None
    }


def _memory_spreads(ids: list[str]) -> Spreads:
    peaks = series.peaks(ids, MEMORY_METRICS)
    metrics = {run: next((name for name in MEMORY_METRICS if (run, name) in peaks), "") for run in ids}
    return {(run, "memory"): (peaks[run, metric], metric) for run, metric in metrics.items() if metric}


def _energy_spreads(ids: list[str]) -> Spreads:
    spreads = series.joules_per_token(ids)
    return {(run, "joules_per_token"): (spread, "energy_j") for run, spread in spreads.items()}


def _get_figure(run: Run, name: str, found: Spreads) -> HardwareFigure:
    is_partial = name == "joules_per_token" and lacks_energy(run)
    if (run.id, name) in found and not is_partial:
        return HardwareFigure(*found[run.id, name])
    status, message = first_reported_reason(run, SOURCES[name]) or ("", NOT_RECORDED[1])
    return HardwareFigure(None, reason=f"{status}: {message}" if status else message)
