"""Why runs that are compared differ: the time of a token as stacked bars, and a sentence for each after the first."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from engine.model_math import counts
from engine.spec.spec import SpecError, parse
from engine.verdict import explain
from engine.verdict.explain import Spent
from engine.verdict.results import Verdict
from jobs import verdicts
from jobs.models import Run

OTHER = "other"
NOT_JUDGED = "Not judged yet: open its page, or wait until it ends."


@dataclass(frozen=True)
class Part:
    name: str
    width: float  # percent of the longest bar
    share: float  # of this run's own time


@dataclass(frozen=True)
class Line:
    """One run. `parts` are empty where nothing is known of its steps, and `said` tells why."""

    run: Run
    parts: list[Part]
    token_s: float | None
    said: str
    verdict: str


@dataclass(frozen=True)
class Why:
    lines: list[Line]
    legend: list[tuple[str, str]]  # parts that some run has: name, what it is called
    first: Run | None  # against which the others are told

    @property
    def is_known(self) -> bool:
        return self.first is not None


def of_runs(runs: Sequence[Run]) -> Why:
    """One query, however many runs; live runs as they were last judged."""
    kept = verdicts.verdicts_of([run.id for run in runs])
    found = {run.id: _spent(run, kept.get(run.id)) for run in runs}
    known = [run for run in runs if found[run.id]]
    first = known[0] if known else None
    longest = max((spent.token_s for spent in found.values() if spent), default=0.0)
    lines = [_line(run, kept.get(run.id), found, first, longest) for run in runs]
    there = {part.name for line in lines for part in line.parts}
    names = {**explain.PARTS, OTHER: "not in any phase"}
    return Why(lines, [(name, title) for name, title in names.items() if name in there], first)


def _spent(run: Run, verdict: Verdict | None) -> Spent | None:
    if verdict is None:
        return None
    try:
        return explain.spent(verdict, counts.tokens_per_step(parse(run.spec)))
    except SpecError:
        return None


def _line(
    run: Run, verdict: Verdict | None, found: dict[str, Spent | None], first: Run | None, longest: float
) -> Line:
    spent = found[run.id]
    if spent is None or first is None:
        return Line(run, [], None, (verdict.nothing if verdict else "") or NOT_JUDGED, "")
    base = found[first.id]
    assert base is not None
    said = "" if run is first else explain.sentence(base, spent)
    seconds = {**spent.parts, OTHER: spent.other_s}
    parts = [
        Part(name, round(100 * value / longest, 2), value / spent.token_s)
        for name, value in seconds.items()
        if value / spent.token_s >= 0.002
    ]
    return Line(run, parts, spent.token_s, said, verdict.name if verdict else "")
