"""Hardware figures of runs as bars: throughput, MFU, peak memory and energy per token, with their spread."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from dashboard.charts.panels import metric_of
from jobs import series
from jobs.models import Run, RunMetric
from jobs.series import Spread

# The first that a run has; what is on the board counts, else what the torch allocator held, else resident memory.
MEMORY = ("memory_used_bytes", "memory_peak_bytes", "rss_bytes")
NOT_RECORDED = "No value has been recorded."


@dataclass(frozen=True)
class Figure:
    """One column of bars. `spread` says what the thin line spans."""

    title: str
    unit: str
    spread: str


FIGURES: dict[str, Figure] = {
    "tokens_per_s": Figure("Throughput", "tokens_per_s", "mean of all steps; the line: slowest to fastest"),
    "mfu_share": Figure("MFU", "share", "mean of all steps; the line: least to greatest"),
    "memory": Figure(
        "Peak memory", "bytes", "of the fullest device or rank; the line begins at the least full"
    ),
    "joules_per_token": Figure(
        "Energy per token", "j", "all joules over all tokens; the line: tenths of the time"
    ),
}


@dataclass(frozen=True)
class Bar:
    """`width`, `low` and `high` in percent of the greatest value of the column; spread None: why there is none."""

    spread: Spread | None
    said: str  # of what the figure is made, or why it is absent
    width: float = 0.0
    low: float = 0.0
    high: float = 0.0


def of_runs(runs: Sequence[Run]) -> list[tuple[Run, list[Bar]]]:
    """A row a run, a bar a figure. Four queries and two reads of series, however many runs."""
    found = _spreads([run.id for run in runs])
    most = {
        name: max((spread.high for (_, of), (spread, _) in found.items() if of == name), default=0.0)
        for name in FIGURES
    }
    return [(run, [_bar(run, name, found, most[name]) for name in FIGURES]) for run in runs]


def _spreads(ids: list[str]) -> dict[tuple[str, str], tuple[Spread, str]]:
    rows = RunMetric.objects.filter(run__in=ids, key__in=["tokens_per_s", "mfu_share"], num_finite__gt=0)
    found = {
        (run, key): (Spread(mean, low, high), "")
        for run, key, mean, low, high in rows.values_list("run_id", "key", "mean", "low", "high")
    }
    peaks = series.peaks(ids, MEMORY)
    for run in ids:
        metric = next((name for name in MEMORY if (run, name) in peaks), None)
        if metric:
            found[run, "memory"] = (peaks[run, metric], metric_of(metric).label)
    for run, spread in series.joules_per_token(ids).items():
        found[run, "joules_per_token"] = (spread, "")
    return found


def _bar(run: Run, name: str, found: Mapping[tuple[str, str], tuple[Spread, str]], most: float) -> Bar:
    part = name == "joules_per_token" and _reason(run, ("energy_j",))
    if (run.id, name) not in found or part:
        wanted = {"memory": MEMORY, "joules_per_token": ("energy_j",)}.get(name, (name,))
        return Bar(None, _reason(run, wanted) or NOT_RECORDED)
    spread, said = found[run.id, name]
    scale = 100 / most if most > 0 else 0.0
    return Bar(spread, said, *(round(max(0.0, value) * scale, 2) for value in spread))


def _reason(run: Run, metrics: Sequence[str]) -> str:
    """What some device or rank has said of the metric that it cannot give."""
    for said in run.missing.values():
        for metric in metrics:
            if metric in said:
                return f"{said[metric][0]}: {said[metric][1]}"
    return ""
