"""Metrics of compared runs as a table, with a baseline and goals."""

from __future__ import annotations

import math
from collections.abc import Collection
from dataclasses import dataclass
from urllib.parse import parse_qsl, urlencode, urlsplit

from django.http import QueryDict
from django.urls import reverse

from dashboard.charts import chart_sections, metric_search
from dashboard.html import format as units
from engine.telemetry.metrics import BY_NAME
from jobs.models import Run
from jobs.runs.directions import Direction, get_goal
from jobs.runs.metric_comparison import MetricComparison, MetricFigures, choose_metrics, compare_metrics
from jobs.series.metric_units import get_unit

FEW_RUNS = 8  # up to this number all metrics are shown, else one at a time
METRICS_SHOWN = 12
CHOICES = 100  # metrics in the list of a table that shows one at a time
GOAL_FIELDS: dict[str, Direction] = {"low": "low", "high": "high", "any": ""}
OWN_FIELDS = ("baseline", "low", "high", "any", "figure")  # of the address


@dataclass(frozen=True)
class MetricTable:
    """`num_metrics` counts those that the search found; `choices` are those to choose from, where one is shown."""

    blocks: list[MetricBlock]
    baseline: str
    choices: list[str]
    num_metrics: int
    search: str

    @property
    def num_shown(self) -> int:
        return len(self.choices or self.blocks)


@dataclass(frozen=True)
class MetricRow:
    """One run in the table of one metric, as texts."""

    run: str
    cells: list[str]  # last, best, lowest, highest, mean
    best_step: int | None
    is_best: bool
    difference: str
    share: str
    is_better: bool | None

    @property
    def tone(self) -> str:
        return {None: "", True: "good", False: "bad"}[self.is_better]


@dataclass(frozen=True)
class MetricBlock:
    name: str
    goal: Direction
    rows: list[MetricRow]
    num_missing: int  # runs without the metric


def build_table(runs: list[Run], recorded: Collection[str], query: QueryDict) -> MetricTable:
    ids = [run.id for run in runs]
    text = metric_search.read_text(query)
    named = [name for name in dict.fromkeys(query.getlist("metric")) if name in set(recorded)]
    found = named or sorted(filter(_is_of_run, metric_search.find_names(recorded, text)), key=_get_order)
    baseline = query.get("baseline", "")
    if baseline not in ids:
        baseline = ids[0] if ids else ""
    is_few = len(runs) <= FEW_RUNS
    shown = choose_metrics(found, ids, METRICS_SHOWN if is_few else CHOICES)
    choices = [] if is_few else shown
    if choices:
        wanted = query.get("figure", "")
        shown = [wanted if wanted in choices else choices[0]]
    comparisons = compare_metrics(shown, ids, baseline, read_goals(query))
    if choices:
        comparisons = [_sort(one, baseline) for one in comparisons]
    blocks = [_build_block(one, len(runs)) for one in comparisons]
    return MetricTable(blocks, baseline, choices, len(found), text)


def _build_block(comparison: MetricComparison, num_runs: int) -> MetricBlock:
    unit = get_unit(comparison.name)
    values = [
        [
            math.nan if one.last is None else one.last,
            one.best and one.best.value,
            one.low.value,
            one.high.value,
            one.mean,
        ]
        for one in comparison.figures
    ]
    texts = units.as_column([value for row in values for value in row], unit)
    rows = [
        _build_row(comparison, one, texts[5 * index : 5 * index + 5], unit)
        for index, one in enumerate(comparison.figures)
    ]
    return MetricBlock(comparison.name, comparison.goal, rows, num_runs - len(rows))


def _build_row(
    comparison: MetricComparison, figures: MetricFigures, cells: list[str], unit: str
) -> MetricRow:
    difference = comparison.differences.get(figures.run)
    amount = share = ""
    if difference:
        sign = "+" if difference.value > 0 else "−" if difference.value < 0 else "±"
        amount = f"{sign}{units.as_unit(abs(difference.value), unit)}"
        share = units.as_signed_share(difference.share) if difference.share is not None else ""
    return MetricRow(
        figures.run,
        cells,
        figures.best.step if figures.best else None,
        figures.run == comparison.best_run,
        amount,
        share,
        difference.is_better if difference else None,
    )


def read_goals(query: QueryDict) -> dict[str, Direction]:
    """Goals that a person has chosen: metrics in `low`, `high` and `any` of the address."""
    return {metric: goal for name, goal in GOAL_FIELDS.items() for metric in query.getlist(name)}


def build_selection(query: QueryDict) -> str:
    """Return the part of the query that selects runs and metrics."""
    fields = ("run", "filter", "metric", "find")
    return urlencode([(name, value) for name in fields for value in query.getlist(name)])


def build_address(current: str, query: QueryDict) -> str:
    """Return the address of the page the table is on, with the table's own fields from `query`: what the charts have
    changed in it since is kept."""
    kept = parse_qsl(urlsplit(current).query, keep_blank_values=True)
    fields = [pair for pair in kept if pair[0] not in OWN_FIELDS]
    fields += [(name, value) for name in OWN_FIELDS for value in query.getlist(name) if value]
    return f"{reverse('compare')}?{urlencode(fields)}"


def apply_changes(query: QueryDict) -> QueryDict:
    """Return the query with the goals that the controls show, `goal` being a direction and a metric as in low:loss;
    those that follow from the name are left out."""
    changed = query.copy()
    goals = changed.setlistdefault("goal")
    del changed["goal"]
    for direction, _, metric in (goal.partition(":") for goal in goals):
        for name, value in GOAL_FIELDS.items():
            rest = [one for one in changed.getlist(name) if one != metric]
            is_own = name == direction and get_goal(metric) != value
            changed.setlist(name, [*rest, metric] if is_own else rest)
    return changed


def _is_of_run(name: str) -> bool:
    return name not in BY_NAME or BY_NAME[name].scope == "run"


def _get_order(name: str) -> tuple[int, tuple[int, int, str]]:
    """Losses and scores first, also among the engine's own."""
    role_order, rank = chart_sections.get_importance(name)
    if name in BY_NAME:
        role_order = chart_sections.get_role_order(name)
    return role_order, rank


def _sort(comparison: MetricComparison, baseline: str) -> MetricComparison:
    """The baseline, then the best first; without a goal in the order of the runs."""
    if not comparison.goal:
        return comparison
    sign = 1 if comparison.goal == "low" else -1
    figures = sorted(
        comparison.figures,
        key=lambda one: (one.run != baseline, one.judged is None, sign * (one.judged or 0.0)),
    )
    return MetricComparison(
        comparison.name, comparison.goal, figures, comparison.differences, comparison.best_run
    )
