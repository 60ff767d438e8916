"""Time per token of compared runs, as stacked bars with a sentence each."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from engine.model_math import counts
from engine.spec.spec import SpecError, parse
from engine.verdict import explain
from engine.verdict.explain import TokenTime
from engine.verdict.results import Verdict
from jobs import verdicts
from jobs.models import Run

OTHER, OTHER_COLOUR = "other", "var(--line-strong)"
# Rule id -> CSS colour of its part of the bar
COLOURS = {rule.id: f"var(--{rule.colour})" for rule in explain.PARTS} | {OTHER: OTHER_COLOUR}
NOT_JUDGED = "Not judged yet: open its page, or wait until it ends."


@dataclass(frozen=True)
class Part:
    name: str
    width: float  # percent of the longest bar
    share: float  # of this run's own time
    colour: str


@dataclass(frozen=True)
class Line:
    """One run. Without known steps `parts` is empty, and `said` gives the reason."""

    run: Run
    parts: list[Part]
    token_s: float | None
    said: str
    verdict: str


@dataclass(frozen=True)
class LegendEntry:
    title: str
    colour: str


@dataclass(frozen=True)
class Why:
    lines: list[Line]
    legend: list[LegendEntry]  # parts that some run has
    first: Run | None  # the run that the others are compared with

    @property
    def is_known(self) -> bool:
        return self.first is not None


def of_runs(runs: Sequence[Run]) -> Why:
    """One query for any number of runs; live runs by their stored verdict."""
    kept = verdicts.get_verdicts([run.id for run in runs])
    found = {run.id: _spent(run, kept.get(run.id)) for run in runs}
    known = [run for run in runs if found[run.id]]
    first = known[0] if known else None
    longest = max((spent.token_s for spent in found.values() if spent), default=0.0)
    lines = [_line(run, kept.get(run.id), found, first, longest) for run in runs]
    there = {part.name for line in lines for part in line.parts}
    titles = {rule.id: rule.part_name.lower() for rule in explain.PARTS} | {OTHER: "not in any phase"}
    legend = [LegendEntry(title, COLOURS[name]) for name, title in titles.items() if name in there]
    return Why(lines, legend, first)


def _spent(run: Run, verdict: Verdict | None) -> TokenTime | None:
    if verdict is None:
        return None
    try:
        return explain.get_token_time(verdict, counts.tokens_per_step(parse(run.spec)))
    except SpecError:
        return None


def _line(
    run: Run, verdict: Verdict | None, found: dict[str, TokenTime | None], first: Run | None, longest: float
) -> Line:
    spent = found[run.id]
    if spent is None or first is None:
        return Line(run, [], None, (verdict.nothing if verdict else "") or NOT_JUDGED, "")
    base = found[first.id]
    assert base is not None
    said = "" if run is first else explain.explain_difference(base, spent)
    seconds = {**spent.parts, OTHER: spent.other_s}
    parts = [
        Part(name, round(100 * value / longest, 2), value / spent.token_s, COLOURS[name])
        for name, value in seconds.items()
        if value / spent.token_s >= 0.002
    ]
    return Line(run, parts, spent.token_s, said, verdict.name if verdict else "")
