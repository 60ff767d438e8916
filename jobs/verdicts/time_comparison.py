"""Time per token of several runs and what makes the difference."""

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


@dataclass(frozen=True)
class RunTime:
    """One run; without judged steps `spent` is None."""

    run: Run
    spent: TokenTime | None
    message: (
        str  # difference from the first run, or why there is no time; '' for the first and for unjudged runs
    )
    verdict: str  # name


@dataclass(frozen=True)
class TimeComparison:
    rows: list[RunTime]
    first: Run | None  # the run that the others are compared with; None: no run has a time


def compare_times(runs: Sequence[Run]) -> TimeComparison:
    """Compare runs with the first one that was judged on steps, by their stored verdicts. One query."""
    stored = verdicts.get_verdicts([run.id for run in runs])
    spent = {run.id: _spent(run, stored.get(run.id)) for run in runs}
    first = next((run for run in runs if spent[run.id]), None)
    base = spent[first.id] if first else None
    rows = []
    for run in runs:
        verdict, own = stored.get(run.id), spent[run.id]
        if base is None or own is None:
            message = verdict.nothing if verdict else ""
        else:
            message = "" if run is first else explain.explain_difference(base, own)
        rows.append(RunTime(run, own, message, verdict.name if verdict else ""))
    return TimeComparison(rows, first)


def _spent(run: Run, verdict: Verdict | None) -> TokenTime | None:
    if verdict is None:
        return None
    try:
        return explain.get_token_time(verdict, counts.tokens_per_step(parse(run.spec)))
    except SpecError:
        return None
