"""The table as it stands on screen, as a table of a file: its columns, its filter, its order; all pages of it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime
from itertools import chain
from typing import Any

from django.db.models import QuerySet

from dashboard.pages.table import groups, rows
from dashboard.pages.table.columns import Column
from dashboard.pages.table.query import State
from jobs import exports, runs
from jobs.models import Run

RUNS_LIMIT = 20_000
AT_A_TIME = 500
INT64 = 2**63
OF_ATTRIBUTE = {"text": "text", "time": "time", "number": "int", "share": "float", "seconds": "float"}
NAME = runs.Field("attribute", "name")  # of every row anyway
FIGURES = ("mean", "low", "high", "spread", "count")


class TooMany(ValueError):
    """More runs than a file takes; the message says how many and what to do."""


def of_state(
    found: QuerySet[Run], state: State, all_runs: QuerySet[Run], now: datetime
) -> exports.ExportTable:
    """A row for each run that the filter has `found`, pinned ones first as on screen; of a grouped table for each
    group. Figures are exact, not as rounded on screen. Raises TooMany."""
    if state.groups:
        return _of_groups(groups.of_state(found, state, limit=None), state)
    ordered = runs.ordered(found, state.sort, is_descending=state.is_descending)
    there = ordered.values_list("id", flat=True)[: RUNS_LIMIT + 1]
    ids = list(dict.fromkeys([*state.pinned, *there]))
    if len(ids) > RUNS_LIMIT:
        raise TooMany(f"More than {RUNS_LIMIT:,} runs are too many for a file. Narrow the filter.")
    columns = [column for column in rows.columns_of(ids, state) if column.field != NAME]
    table = chain.from_iterable(
        rows.cells_of(ids[first : first + AT_A_TIME], columns, all_runs, now)
        for first in range(0, len(ids), AT_A_TIME)
    )
    about: list[Sequence[Any]] = [
        (run.id, run.name, _tags_said(tags), *(cell.value for cell in cells)) for run, tags, cells in table
    ]
    made = list(zip(*about, strict=True)) or [()] * (len(columns) + 3)
    typed = [_typed(column, values) for column, values in zip(columns, made[3:], strict=True)]
    kinds = dict.fromkeys(("run", "name", "tags"), "text")
    kinds |= {str(column.field): kind for column, (kind, _) in zip(columns, typed, strict=True)}
    return exports.ExportTable("runs", kinds, [[*made[:3], *(values for _, values in typed)]])


def _of_groups(found: groups.Groups, state: State) -> exports.ExportTable:
    kinds = {str(field): "text" for field in state.groups} | {"runs": "int"}
    for column in found.columns:
        kinds |= {f"{column.field} {what}": "int" if what == "count" else "float" for what in FIGURES}
    lines = [
        [
            *(value for _, value in group.names),
            group.count,
            *(getattr(figures, what) for figures in group.figures for what in FIGURES),
        ]
        for group in found.groups
    ]
    return exports.ExportTable("groups", kinds, [list(zip(*lines, strict=True))] if lines else [])


def _tags_said(tags: list[tuple[str, str]]) -> str:
    return ", ".join(f"{key}={value}" if value else key for key, value in tags)


def _typed(column: Column, values: Sequence[Any]) -> tuple[str, Sequence[Any]]:
    """A parameter is a number where all of its values are; else every one stays as it was written."""
    field = column.field
    if field.kind == "attribute":
        return OF_ATTRIBUTE[runs.ATTRIBUTES[field.key].type], values
    if field.kind == "metric":
        return "float", values
    if field.kind == "param":
        kinds: tuple[tuple[str, Callable[[str], Any]], ...] = (("int", _int64), ("float", float))
        for kind, read in kinds:
            try:
                return kind, [None if value is None else read(value) for value in values]
            except ValueError:
                continue
    return "text", values


def _int64(text: str) -> int:
    if not -INT64 <= (value := int(text)) < INT64:
        raise ValueError
    return value
