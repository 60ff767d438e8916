"""TablePage of one page of the run table.

The number of queries does not depend on the number of runs.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from django.db.models import Count, QuerySet

from dashboard.charts.colours import get_colour
from dashboard.pages.table import columns
from dashboard.pages.table.cells import Cell, build_cell
from dashboard.pages.table.columns import TableColumn
from dashboard.pages.table.query import TableState
from jobs import runs
from jobs.models import Run, RunMetric, RunParam, RunTag
from jobs.runs.directions import best_value

ROWS_A_PAGE = 100
DIFFERING_SHOWN = 20
# Columns that rows need; the specs and plans of a hundred runs are megabytes.
RUN_COLUMNS = ("id", "name", "note", "colour", "created_at", "archived_at", "origin", "state", "started_at", "ended_at",
          "team_id", "owner_id", "project_id", "parent__name", "parent__deletion_id", "job__state", "job__step",
          "job__num_devices", "job__started_at", "job__ended_at")  # fmt: skip
# Attribute -> further column that it reads
RELATED_COLUMNS = {
    "owner": "owner__username",
    "team": "team__slug",
    "project": "project__name",
    "pool": "job__pool__name",
}
# Attribute of the verdict -> name of its annotation
VERDICT_ANNOTATIONS = {
    "verdict": "verdict_text",
    "limit": "verdict_limit",
    "share": "verdict_share",
    "severity": "verdict_severity",
    "health": "health_text",
    "goodput": "ledger_goodput",
    "clock_rate": "ledger_rate",
}


@dataclass(frozen=True)
class TableRow:
    run: Run
    colour: str
    cells: list[Cell]
    tags: list[tuple[str, str]]
    is_pinned: bool
    is_hidden: bool
    num_children: int


@dataclass(frozen=True)
class TablePage:
    rows: list[TableRow]
    columns: list[TableColumn]
    total: int  # runs on all pages
    first: int  # number of the first row of this page, from 1
    num_differing: int = 0  # parameters in which its runs differ, where these are columns

    @property
    def num_shown_differing(self) -> int:
        return min(self.num_differing, DIFFERING_SHOWN)

    @property
    def num_hidden_columns(self) -> int:
        return self.num_differing - self.num_shown_differing

    @property
    def last(self) -> int:
        """Number of the last row of this page, without pinned rows."""
        return min(self.total, self.first + ROWS_A_PAGE - 1)


def build_page(found: QuerySet[Run], state: TableState, all_runs: QuerySet[Run], now: datetime) -> TablePage:
    """Return the page that `state` selects from the runs that the filter has `found`, pinned runs first."""
    first = (state.page - 1) * ROWS_A_PAGE
    ordered = runs.ordered(found, state.sort, is_descending=state.is_descending)
    ids, total = runs.page_of(ordered, first, ROWS_A_PAGE, is_narrowed=bool(state.filter.strip()))
    shown = [*state.pinned, *(run_id for run_id in ids if run_id not in state.pinned)]
    rows, columns, num_differing = _build_rows(shown, state, all_runs, now)
    return TablePage(rows, columns, total, first + 1, num_differing)


def build_rows_by_id(
    ids: Iterable[str], state: TableState, all_runs: QuerySet[Run], now: datetime
) -> TablePage:
    """Return some rows again, in no particular order. No value is marked as the best: the other rows are not read."""
    rows, columns, _ = _build_rows(list(ids)[:ROWS_A_PAGE], state, all_runs, now, is_page=False)
    return TablePage(rows, columns, len(rows), 1)


def _build_rows(
    ids: list[str], state: TableState, all_runs: QuerySet[Run], now: datetime, *, is_page: bool = True
) -> tuple[list[TableRow], list[TableColumn], int]:
    shown, num_differing = _limit_differing(build_columns(ids, state), state)
    cells_by_run = build_cells(ids, shown, all_runs, now)
    children = _count_children(all_runs, ids)
    for n, column in enumerate(shown):  # heads of numeric columns are aligned right
        if column.field.kind == "param" and all(
            cells[n].kind == "number" or cells[n].value is None for _, _, cells in cells_by_run
        ):
            shown[n] = replace(column, is_number=True)
    best = [
        best_value(column.best, (cells[n].value for _, _, cells in cells_by_run)) if is_page else None
        for n, column in enumerate(shown)
    ]
    rows = [
        TableRow(
            run=run,
            colour=get_colour(run),
            cells=[
                cell._replace(is_best=best[n] is not None and cell.value == best[n])
                for n, cell in enumerate(cells)
            ],
            tags=tags,
            is_pinned=run.id in state.pinned,
            is_hidden=run.id in state.hidden,
            num_children=children.get(run.id, 0),
        )
        for run, tags, cells in cells_by_run
    ]
    return rows, shown, num_differing


def _limit_differing(shown: list[TableColumn], state: TableState) -> tuple[list[TableColumn], int]:
    """Return the columns of a page, with the first DIFFERING_SHOWN that were not selected, and the number of those."""
    differing = [column for column in shown if column.field not in state.columns]
    dropped = {column.field for column in differing[DIFFERING_SHOWN:]}
    return [column for column in shown if column.field not in dropped], len(differing)


def build_columns(ids: list[str], state: TableState) -> list[TableColumn]:
    """Return the columns of `state`, and on request the parameters in which these runs differ."""
    shown = columns.build_columns(state)
    if state.differs:
        shown += [column for column in _differing_columns(ids, state) if column.field not in state.columns]
    return shown


def build_cells(
    ids: list[str], shown: list[TableColumn], all_runs: QuerySet[Run], now: datetime
) -> list[tuple[Run, list[tuple[str, str]], list[Cell]]]:
    """Return each of these runs that exists, in this order, with its tags and its cells."""
    existing = _select_runs(all_runs, shown).in_bulk(ids)
    values, tags_by_run = _read_values(list(existing), shown), _read_tags(list(existing))
    found = []
    for run in (existing[run_id] for run_id in ids if run_id in existing):
        tags = tags_by_run.get(run.id, [])
        by_key = dict(tags)
        found.append((run, tags, [build_cell(run, column, values, by_key, now) for column in shown]))
    return found


def _select_runs(all_runs: QuerySet[Run], shown: list[TableColumn]) -> QuerySet[Run]:
    more = [RELATED_COLUMNS[column.field.key] for column in shown if column.field.key in RELATED_COLUMNS]
    related = {"job", "parent", *(name.rpartition("__")[0] for name in more)}
    attributes = {column.field.key for column in shown if column.field.kind == "attribute"}
    annotations = {
        annotation: runs.ATTRIBUTES[name].read
        for name, annotation in VERDICT_ANNOTATIONS.items()
        if name in attributes
    }
    return all_runs.select_related(*related).only(*RUN_COLUMNS, *more).annotate(**annotations)


def _count_children(all_runs: QuerySet[Run], ids: list[str]) -> dict[str, int]:
    below = all_runs.filter(parent__in=ids).order_by().values_list("parent")
    return dict(below.annotate(Count("id")))


def _differing_columns(ids: list[str], state: TableState) -> list[TableColumn]:
    """Return parameters in which these runs differ, those that most runs have first."""
    rows = RunParam.objects.filter(run__in=ids).values("key").order_by()
    counted = rows.annotate(num_values=Count("value", distinct=True), num_runs=Count("id"))
    keys = [
        row["key"]
        for row in counted.order_by("-num_runs", "key")
        if row["num_values"] > 1 or row["num_runs"] < len(ids)
    ]
    return [columns.build_column(runs.Field("param", key), state) for key in keys]


def _read_values(ids: list[str], shown: list[TableColumn]) -> dict[tuple[str, runs.Field], Any]:
    """Read the metrics and parameters that are shown."""
    found: dict[tuple[str, runs.Field], Any] = {}
    metrics = [column.field for column in shown if column.field.kind == "metric"]
    if metrics:
        rows = RunMetric.objects.filter(run__in=ids, key__in={field.key for field in metrics})
        by_key: dict[str, list[tuple[runs.Field, int]]] = {}
        stats = list(runs.STATS)
        for field in metrics:
            by_key.setdefault(field.key, []).append((field, stats.index(field.stat)))
        for run_id, key, *statistics in rows.values_list("run_id", "key", *runs.STATS.values()):
            for field, index in by_key[key]:
                value = statistics[index]
                found[run_id, field] = math.nan if value is None and field.stat == "last" else value
    keys = {column.field.key for column in shown if column.field.kind == "param"}
    if keys:
        for run_id, key, text in RunParam.objects.filter(run__in=ids, key__in=keys).values_list(
            "run_id", "key", "value"
        ):
            found[run_id, runs.Field("param", key)] = text
    return found


def _read_tags(ids: list[str]) -> dict[str, list[tuple[str, str]]]:
    found: dict[str, list[tuple[str, str]]] = {}
    rows = RunTag.objects.filter(run__in=ids).exclude(key__startswith="mlflow.").order_by("key")
    for run_id, key, value in rows.values_list("run_id", "key", "value"):
        found.setdefault(run_id, []).append((key, value))
    return found
