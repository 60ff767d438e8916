"""Hardware figures of compared runs as bars."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from dashboard.charts.panels import get_metric
from jobs.models import Run
from jobs.runs.hardware_figures import HardwareFigure, get_hardware_figures
from jobs.series import Spread


@dataclass(frozen=True)
class BarColumn:
    """One column of bars. `spread` describes the range of the thin line."""

    title: str
    unit: str
    spread: str


COLUMNS: dict[str, BarColumn] = {
    "tokens_per_s": BarColumn(
        "Throughput", "tokens_per_s", "mean of all steps; the line: slowest to fastest"
    ),
    "mfu_share": BarColumn("MFU", "share", "mean of all steps; the line: lowest to highest"),
    "memory": BarColumn(
        "Peak memory", "bytes", "of the fullest device or rank; the line starts at the least full"
    ),
    "joules_per_token": BarColumn(
        "Energy per token", "j", "all joules over all tokens; the line: tenths of the time"
    ),
}


@dataclass(frozen=True)
class FigureBar:
    """One figure of one run. `width`, `low` and `high` are percent of the greatest value of the column."""

    spread: Spread | None
    label: str  # metric behind a figure of memory, or why there is no figure
    width: float = 0.0
    low: float = 0.0
    high: float = 0.0


@dataclass(frozen=True)
class BarTable:
    """`columns` are those that some run has a figure of; `absent` the titles of the others, by reason."""

    columns: list[BarColumn]
    rows: list[tuple[Run, list[FigureBar]]]
    absent: list[tuple[str, list[str]]]


def build_bar_table(runs: Sequence[Run]) -> BarTable:
    rows = build_bars(runs)
    names = list(COLUMNS)
    shown = [index for index in range(len(names)) if any(bars[index].spread for _, bars in rows)]
    absent: dict[str, list[str]] = {}
    for index, name in enumerate(names):
        if index not in shown and rows:
            reasons = dict.fromkeys(bars[index].label for _, bars in rows)
            absent.setdefault("; ".join(reasons), []).append(COLUMNS[name].title)
    return BarTable(
        [COLUMNS[names[index]] for index in shown],
        [(run, [bars[index] for index in shown]) for run, bars in rows] if shown else [],
        list(absent.items()),
    )


def build_bars(runs: Sequence[Run]) -> list[tuple[Run, list[FigureBar]]]:
    """Return a bar per column for each run."""
    found = get_hardware_figures(runs)
    highest = {
        name: max((spread.high for one in found.values() if (spread := one[name].spread)), default=0.0)
        for name in COLUMNS
    }
    return [(run, [_build_bar(name, found[run.id][name], highest[name]) for name in COLUMNS]) for run in runs]


def _build_bar(name: str, figure: HardwareFigure, highest: float) -> FigureBar:
    if figure.spread is None:
        return FigureBar(None, figure.reason)
    label = get_metric(figure.metric).label if name == "memory" else ""
    scale = 100 / highest if highest > 0 else 0.0
    return FigureBar(figure.spread, label, *(round(max(0.0, value) * scale, 2) for value in figure.spread))
