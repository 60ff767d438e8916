"""Export of all pages of the run table with its columns, filter and order."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime
from itertools import chain
from typing import Any

from django.db.models import QuerySet

from dashboard.pages.table import groups, rows
from dashboard.pages.table.columns import TableColumn
from dashboard.pages.table.query import TableState
from jobs import exports, runs
from jobs.models import Run

RUNS_LIMIT = 20_000
CHUNK_RUNS = 500
INT64 = 2**63
# Type of an attribute -> type of its column in the file
ATTRIBUTE_KINDS = {"text": "text", "time": "time", "number": "int", "share": "float", "seconds": "float"}
NAME = runs.Field("attribute", "name")  # every row has it
STATISTICS = ("mean", "low", "high", "spread", "count")


class TooManyRuns(ValueError):
    """More runs than a file may have; the message names the limit and the way out."""


def build_table(
    found: QuerySet[Run], state: TableState, all_runs: QuerySet[Run], now: datetime
) -> exports.ExportTable:
    """Return a row per run that the filter has `found`, pinned runs first as on screen, or a row per group.

    Numbers are exact, not rounded as on screen. Raises TooManyRuns.
    """
    if state.groups:
        return _build_group_table(groups.build_groups(found, state, limit=None), state)
    ordered = runs.ordered(found, state.sort, is_descending=state.is_descending)
    matching = ordered.values_list("id", flat=True)[: RUNS_LIMIT + 1]
    ids = list(dict.fromkeys([*state.pinned, *matching]))
    if len(ids) > RUNS_LIMIT:
        raise TooManyRuns(f"More than {RUNS_LIMIT:,} runs are too many for a file. Narrow the filter.")
    columns = [column for column in rows.build_columns(ids, state) if column.field != NAME]
    table = chain.from_iterable(
        rows.build_cells(ids[first : first + CHUNK_RUNS], columns, all_runs, now)
        for first in range(0, len(ids), CHUNK_RUNS)
    )
    values_by_run: list[Sequence[Any]] = [
        (run.id, run.name, _format_tags(tags), *(cell.value for cell in cells)) for run, tags, cells in table
    ]
    by_column = list(zip(*values_by_run, strict=True)) or [()] * (len(columns) + 3)
    typed = [_convert_values(column, values) for column, values in zip(columns, by_column[3:], strict=True)]
    kinds = dict.fromkeys(("run", "name", "tags"), "text")
    kinds |= {str(column.field): kind for column, (kind, _) in zip(columns, typed, strict=True)}
    return exports.ExportTable("runs", kinds, [[*by_column[:3], *(values for _, values in typed)]])


def _build_group_table(found: groups.RunGroups, state: TableState) -> exports.ExportTable:
    kinds = {str(field): "text" for field in state.groups} | {"runs": "int"}
    for column in found.columns:
        kinds |= {f"{column.field} {name}": "int" if name == "count" else "float" for name in STATISTICS}
    lines = [
        [
            *(value for _, value in group.names),
            group.count,
            *(getattr(statistics, name) for statistics in group.statistics for name in STATISTICS),
        ]
        for group in found.groups
    ]
    return exports.ExportTable("groups", kinds, [list(zip(*lines, strict=True))] if lines else [])


def _format_tags(tags: list[tuple[str, str]]) -> str:
    return ", ".join(f"{key}={value}" if value else key for key, value in tags)


def _convert_values(column: TableColumn, values: Sequence[Any]) -> tuple[str, Sequence[Any]]:
    """Return the type and values of a column. A parameter is a number if all its values are; else they stay texts."""
    field = column.field
    if field.kind == "attribute":
        return ATTRIBUTE_KINDS[runs.ATTRIBUTES[field.key].type], values
    if field.kind == "metric":
        return "float", values
    if field.kind == "param":
        kinds: tuple[tuple[str, Callable[[str], Any]], ...] = (("int", _int64), ("float", float))
        for kind, parse in kinds:
            try:
                return kind, [None if value is None else parse(value) for value in values]
            except ValueError:
                continue
    return "text", values


def _int64(text: str) -> int:
    if not -INT64 <= (value := int(text)) < INT64:
        raise ValueError
    return value
