"""Metrics of compared runs: last, best, extremes, difference from a baseline."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from jobs import series
from jobs.models import RunMetric
from jobs.runs.directions import Direction, get_goal
from jobs.series import Extreme

CANDIDATES = 200  # names whose coverage is counted


@dataclass(frozen=True)
class MetricFigures:
    """One metric of one run. `best` is None without a goal."""

    run: str
    last: float | None  # None: NaN
    last_step: int | None
    low: Extreme
    high: Extreme
    mean: float | None
    best: Extreme | None

    @property
    def judged(self) -> float | None:
        """The value that is compared: the best, or the last without a goal."""
        return self.last if self.best is None else self.best.value


@dataclass(frozen=True)
class MetricDifference:
    """`share` of the baseline's value; None where that is 0. `is_better` is None without a goal, or where equal."""

    value: float
    share: float | None
    is_better: bool | None


@dataclass(frozen=True)
class MetricComparison:
    """One metric of all runs that have it, in the order of the runs."""

    name: str
    goal: Direction
    figures: list[MetricFigures]
    differences: Mapping[str, MetricDifference]  # run -> difference from the baseline
    best_run: str  # '' without a goal, or where no two runs differ


def choose_metrics(names: Sequence[str], run_ids: Sequence[str], limit: int) -> list[str]:
    """Return at most `limit` names that at least one run has a number of, in the order of `names`; those of more runs
    come first where not all fit."""
    rows = RunMetric.objects.filter(run__in=run_ids, key__in=names[:CANDIDATES], num_finite__gt=0)
    counts = Counter(rows.values_list("key", flat=True))
    held = [name for name in names[:CANDIDATES] if counts[name]]
    kept = sorted(held, key=lambda name: -counts[name])[:limit]  # a stable sort: important names first
    return [name for name in held if name in set(kept)]


def compare_metrics(
    names: Sequence[str], run_ids: Sequence[str], baseline: str, goals: Mapping[str, Direction]
) -> list[MetricComparison]:
    """`goals` replaces those that follow from the names. One query and one read of series for any number of runs."""
    extremes = series.extremes_of_runs(run_ids, names)
    rows = {(row.run_id, row.key): row for row in RunMetric.objects.filter(run__in=run_ids, key__in=names)}
    return [
        _compare(name, run_ids, baseline, goals.get(name, get_goal(name)), rows, extremes) for name in names
    ]


def _compare(
    name: str,
    run_ids: Sequence[str],
    baseline: str,
    goal: Direction,
    rows: Mapping[tuple[str, str], RunMetric],
    extremes: Mapping[tuple[str, str], tuple[Extreme, Extreme]],
) -> MetricComparison:
    figures = []
    for run in run_ids:
        if (row := rows.get((run, name))) is None or (ends := extremes.get((run, name))) is None:
            continue
        best = {"low": ends[0], "high": ends[1], "": None}[goal]
        figures.append(MetricFigures(run, row.last, row.last_step, *ends, row.mean, best))
    judged = {one.run: one.judged for one in figures if one.judged is not None}
    differences = (
        {run: _differ(value, judged[baseline], goal) for run, value in judged.items()}
        if (baseline in judged)
        else {}
    )
    differences.pop(baseline, None)
    return MetricComparison(name, goal, figures, differences, _find_best(judged, goal))


def _differ(value: float, base: float, goal: Direction) -> MetricDifference:
    difference = value - base
    is_better = None if not goal or not difference else (difference < 0) == (goal == "low")
    return MetricDifference(difference, difference / abs(base) if base else None, is_better)


def _find_best(judged: Mapping[str, float], goal: Direction) -> str:
    if not goal or len(set(judged.values())) < 2:
        return ""
    return (min if goal == "low" else max)(judged, key=lambda run: judged[run])
