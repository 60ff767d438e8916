"""The rows of one page of the table: which runs, and what stands in their cells. The same queries for any number."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from django.db.models import Count, QuerySet

from dashboard.charts.colours import get_colour
from dashboard.pages.table import columns as looks
from dashboard.pages.table.cells import Cell, cell_of
from dashboard.pages.table.columns import Column
from dashboard.pages.table.query import State
from jobs import runs
from jobs.models import Run, RunMetric, RunParam, RunTag
from jobs.runs.directions import best_value

ROWS_A_PAGE = 100
DIFFERING_LIMIT = 20
# What rows need; the spec and the plan of a hundred runs are megabytes.
OF_RUN = ("id", "name", "note", "colour", "created_at", "archived_at", "origin", "state", "started_at", "ended_at",
          "team_id", "owner_id", "project_id", "parent__name", "job__state", "job__step", "job__num_devices",
          "job__started_at", "job__ended_at")  # fmt: skip
# What a column reads beside that
RELATED = {
    "owner": "owner__username",
    "team": "team__slug",
    "project": "project__name",
    "pool": "job__pool__name",
}
# Read from the run's verdict, where a column shows it
OF_VERDICT = ("verdict", "limit", "share", "severity")


@dataclass(frozen=True)
class Row:
    run: Run
    colour: str
    cells: list[Cell]
    tags: list[tuple[str, str]]
    is_pinned: bool
    is_hidden: bool
    num_children: int


@dataclass(frozen=True)
class Rows:
    rows: list[Row]
    columns: list[Column]
    total: int  # of all pages
    first: int  # number of the first row of this page, from 1

    @property
    def last(self) -> int:
        """Of this page; pinned rows are not counted."""
        return min(self.total, self.first + ROWS_A_PAGE - 1)


def of_page(found: QuerySet[Run], state: State, all_runs: QuerySet[Run], now: datetime) -> Rows:
    """The page that `state` asks for of the runs that its filter has `found`; pinned ones stand above them."""
    first = (state.page - 1) * ROWS_A_PAGE
    ordered = runs.ordered(found, state.sort, is_descending=state.is_descending)
    ids, total = runs.page_of(ordered, first, ROWS_A_PAGE, is_narrowed=bool(state.filter.strip()))
    shown = [*state.pinned, *(run_id for run_id in ids if run_id not in state.pinned)]
    return Rows(*_of(shown, state, all_runs, now), total=total, first=first + 1)


def of_ids(ids: Iterable[str], state: State, all_runs: QuerySet[Run], now: datetime) -> Rows:
    """Some rows anew, in no particular order; which value is the best cannot be told from them."""
    rows, columns = _of(list(ids)[:ROWS_A_PAGE], state, all_runs, now, is_page=False)
    return Rows(rows, columns, len(rows), 1)


def _of(
    ids: list[str], state: State, all_runs: QuerySet[Run], now: datetime, *, is_page: bool = True
) -> tuple[list[Row], list[Column]]:
    columns = columns_of(ids, state)
    chosen = cells_of(ids, columns, all_runs, now)
    children = _children(all_runs, ids)
    for n, column in enumerate(columns):  # the head of a column of numbers stands above them
        if column.field.kind == "param" and all(
            cells[n].kind == "number" or cells[n].value is None for _, _, cells in chosen
        ):
            columns[n] = replace(column, is_number=True)
    best = [
        best_value(column.best, (cells[n].value for _, _, cells in chosen)) if is_page else None
        for n, column in enumerate(columns)
    ]
    rows = [
        Row(
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
        for run, tags, cells in chosen
    ]
    return rows, columns


def columns_of(ids: list[str], state: State) -> list[Column]:
    """Those that `state` names, and where it asks so, parameters in which these runs differ."""
    columns = looks.columns_of(state)
    if state.differs:
        columns += [column for column in _differing(ids, state) if column.field not in state.columns]
    return columns


def cells_of(
    ids: list[str], columns: list[Column], all_runs: QuerySet[Run], now: datetime
) -> list[tuple[Run, list[tuple[str, str]], list[Cell]]]:
    """Of each of these runs that is there, in this order: its tags, and what stands in its columns."""
    there = _read(all_runs, columns).in_bulk(ids)
    values, tags = _values(list(there), columns), _tags(list(there))
    found = []
    for run in (there[run_id] for run_id in ids if run_id in there):
        own = tags.get(run.id, [])
        by_key = dict(own)
        found.append((run, own, [cell_of(run, column, values, by_key, now) for column in columns]))
    return found


def _read(all_runs: QuerySet[Run], columns: list[Column]) -> QuerySet[Run]:
    more = [RELATED[column.field.key] for column in columns if column.field.key in RELATED]
    related = {"job", "parent", *(name.rpartition("__")[0] for name in more)}
    chosen = {column.field.key for column in columns if column.field.kind == "attribute"} & set(OF_VERDICT)
    return (
        all_runs.select_related(*related)
        .only(*OF_RUN, *more)
        .annotate(**{f"of_{name}": runs.ATTRIBUTES[name].read for name in sorted(chosen)})
    )


def _children(all_runs: QuerySet[Run], ids: list[str]) -> dict[str, int]:
    below = all_runs.filter(parent__in=ids).order_by().values_list("parent")
    return dict(below.annotate(Count("id")))


def _differing(ids: list[str], state: State) -> list[Column]:
    """Parameters in which the runs of this page differ, the ones that most of them have first."""
    rows = RunParam.objects.filter(run__in=ids).values("key").order_by()
    counted = rows.annotate(num_values=Count("value", distinct=True), num_runs=Count("id"))
    keys = [
        row["key"]
        for row in counted.order_by("-num_runs", "key")
        if row["num_values"] > 1 or row["num_runs"] < len(ids)
    ]
    return [looks.column_of(runs.Field("param", key), state) for key in keys[:DIFFERING_LIMIT]]


def _values(ids: list[str], columns: list[Column]) -> dict[tuple[str, runs.Field], Any]:
    """What metrics and parameters say, for the columns that show them."""
    found: dict[tuple[str, runs.Field], Any] = {}
    metrics = [column.field for column in columns if column.field.kind == "metric"]
    if metrics:
        rows = RunMetric.objects.filter(run__in=ids, key__in={field.key for field in metrics})
        by_key: dict[str, list[tuple[runs.Field, int]]] = {}
        stats = list(runs.STATS)
        for field in metrics:
            by_key.setdefault(field.key, []).append((field, stats.index(field.stat)))
        for run_id, key, *figures in rows.values_list("run_id", "key", *runs.STATS.values()):
            for field, place in by_key[key]:
                figure = figures[place]
                found[run_id, field] = math.nan if figure is None and field.stat == "last" else figure
    keys = {column.field.key for column in columns if column.field.kind == "param"}
    if keys:
        for run_id, key, value in RunParam.objects.filter(run__in=ids, key__in=keys).values_list(
            "run_id", "key", "value"
        ):
            found[run_id, runs.Field("param", key)] = value
    return found


def _tags(ids: list[str]) -> dict[str, list[tuple[str, str]]]:
    found: dict[str, list[tuple[str, str]]] = {}
    rows = RunTag.objects.filter(run__in=ids).exclude(key__startswith="mlflow.").order_by("key")
    for run_id, key, value in rows.values_list("run_id", "key", "value"):
        found.setdefault(run_id, []).append((key, value))
    return found
