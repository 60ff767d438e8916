"""Time per token of compared runs, as stacked bars with a sentence each."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from engine.verdict import explain
from jobs.models import Run
from jobs.verdicts.time_comparison import RunTime, compare_times

OTHER, OTHER_COLOUR = "other", "var(--line-strong)"
# Rule id -> CSS colour of its part of the bar
COLOURS = {rule.id: f"var(--{rule.colour})" for rule in explain.PARTS} | {OTHER: OTHER_COLOUR}
NOT_JUDGED = "Not judged yet: open its page, or wait until it ends."
SMALLEST_SHARE = 0.002  # smaller parts are invisible


@dataclass(frozen=True)
class TimePart:
    name: str
    width: float  # percent of the longest bar
    share: float  # of this run's own time
    colour: str


@dataclass(frozen=True)
class BreakdownLine:
    """One run. Without known steps `parts` is empty, and `message` gives the reason."""

    run: Run
    parts: list[TimePart]
    token_s: float | None
    message: str
    verdict: str


@dataclass(frozen=True)
class LegendEntry:
    title: str
    colour: str


@dataclass(frozen=True)
class TimeBreakdown:
    lines: list[BreakdownLine]
    legend: list[LegendEntry]  # parts that some run has
    first: Run | None  # the run that the others are compared with

    @property
    def is_known(self) -> bool:
        return self.first is not None


def build_breakdown(runs: Sequence[Run]) -> TimeBreakdown:
    """One query for any number of runs; live runs by their stored verdict."""
    found = compare_times(runs)
    longest = max((row.spent.token_s for row in found.rows if row.spent), default=0.0)
    lines = [_build_line(row, longest) for row in found.rows]
    names = {part.name for line in lines for part in line.parts}
    titles = {rule.id: rule.part_name.lower() for rule in explain.PARTS} | {OTHER: "not in any phase"}
    legend = [LegendEntry(title, COLOURS[name]) for name, title in titles.items() if name in names]
    return TimeBreakdown(lines, legend, found.first)


def _build_line(row: RunTime, longest: float) -> BreakdownLine:
    if row.spent is None:
        return BreakdownLine(row.run, [], None, row.message or NOT_JUDGED, "")
    token_s = row.spent.token_s
    parts = [
        TimePart(name, round(100 * value / longest, 2), value / token_s, COLOURS[name])
        for name, value in {**row.spent.parts, OTHER: row.spent.other_s}.items()
        if value / token_s >= SMALLEST_SHARE
    ]
    return BreakdownLine(row.run, parts, token_s, row.message, row.verdict)
