"""RunGroups of runs: count, and statistics of each numeric column."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from django.db.models import F, QuerySet

from dashboard.pages.table import columns
from dashboard.pages.table.columns import TableColumn
from dashboard.pages.table.query import TableState
from jobs import runs
from jobs.models import Run

GROUPS_LIMIT = 200
GroupKey = tuple[Any, ...]


@dataclass(frozen=True)
class GroupStatistics:
    """One column of one group; all None if no run of the group has a finite value."""

    column: TableColumn
    count: int = 0  # of finite values: NaN and infinities are left out
    mean: float | None = None
    low: float | None = None
    high: float | None = None
    spread: float | None = None  # sample standard deviation; None for a single value

    @property
    def texts(self) -> dict[str, str]:
        field = self.column.field
        values = {"mean": self.mean, "low": self.low, "high": self.high, "spread": self.spread}
        return {name: columns.format_value(field, value) for name, value in values.items()}


@dataclass(frozen=True)
class RunGroup:
    names: list[tuple[str, str]]  # title of the field, its value
    count: int
    statistics: list[GroupStatistics]
    filter: str  # finds the runs of this group


@dataclass(frozen=True)
class RunGroups:
    groups: list[RunGroup]
    columns: list[TableColumn]
    total: int  # runs in all groups
    num_groups: int  # also those beyond the limit


def build_groups(matching: QuerySet[Run], state: TableState, limit: int | None = GROUPS_LIMIT) -> RunGroups:
    """Return the groups of the matching runs, the largest first or in the order of a column. One query.

    The statistics are computed here, because SQLite has no standard deviation and PostgreSQL no mean of huge values.
    """
    numeric = [column for column in columns.build_columns(state) if column.field.is_number]
    members: dict[GroupKey, list[Sequence[Any]]] = {}
    num_fields = len(state.groups)
    for row in _read_values(matching, [*state.groups, *(column.field for column in numeric)]):
        members.setdefault(tuple(row[:num_fields]), []).append(row[num_fields:])
    groups = [_build_group(key, rows, state, numeric) for key, rows in members.items()]
    groups.sort(key=lambda group: (-group.count, group.names))
    _sort_groups(groups, state, numeric)
    shown = groups[:limit]
    return RunGroups(shown, numeric, sum(group.count for group in groups), len(groups))


def _read_values(matching: QuerySet[Run], fields: list[runs.Field]) -> Iterable[Sequence[Any]]:
    """Read the fields of every run."""
    rows: Any = matching.order_by()
    names = []
    for n, field in enumerate(fields):
        if field.kind == "attribute":
            rows = rows.alias(**{f"of_{n}": runs.ATTRIBUTES[field.key].read})
            names.append(f"of_{n}")
        else:
            rows = runs.joined(rows, f"of_{n}", field)
            names.append(f"of_{n}__{runs.STATS[field.stat] if field.kind == 'metric' else 'value'}")
    return rows.values_list(*(F(name) for name in names))


def _build_group(
    key: GroupKey, rows: list[Sequence[Any]], state: TableState, numeric: list[TableColumn]
) -> RunGroup:
    values = list(zip(state.groups, key, strict=True))
    own = " and ".join(f"{field} = {_literal(field, value)}" for field, value in values)
    return RunGroup(
        names=[(columns.get_title(field), _format_key(field, value)) for field, value in values],
        count=len(rows),
        statistics=[
            _compute_statistics(column, [row[n] for row in rows]) for n, column in enumerate(numeric)
        ],
        filter=f"({state.filter}) and {own}" if state.filter else own,
    )


def _compute_statistics(column: TableColumn, values: list[Any]) -> GroupStatistics:
    numbers = np.array(values, dtype=float)  # None becomes NaN
    finite = numbers[np.isfinite(numbers)]
    if not len(finite):
        return GroupStatistics(column)
    with np.errstate(
        over="ignore", invalid="ignore"
    ):  # squares of huge values: no spread instead of a wrong one
        spread = float(finite.std(ddof=1)) if len(finite) > 1 else np.nan
        mean = float((finite / len(finite)).sum())
    spread_or_none = spread if np.isfinite(spread) else None
    return GroupStatistics(
        column, len(finite), mean, float(finite.min()), float(finite.max()), spread_or_none
    )


def _sort_groups(groups: list[RunGroup], state: TableState, numeric: list[TableColumn]) -> None:
    """Sort by the mean of the sorted column, or by a field of the groups."""
    fields = [column.field for column in numeric]
    if state.sort in fields:
        index = fields.index(state.sort)
        sign = -1 if state.is_descending else 1
        groups.sort(key=lambda group: _last_if_none(group.statistics[index].mean, sign))
    elif state.sort in state.groups:
        index = state.groups.index(state.sort)
        groups.sort(key=lambda group: group.names[index][1], reverse=state.is_descending)


def _last_if_none(value: float | None, sign: int) -> tuple[bool, float]:
    return value is None, 0.0 if value is None else sign * value


def _literal(field: runs.Field, value: Any) -> str:
    is_absent = value is None or (value == "" and field.kind == "attribute")
    return "none" if is_absent else runs.quoted(str(value))


def _format_key(field: runs.Field, value: Any) -> str:
    return "none" if value is None else "(empty)" if value == "" else columns.format_value(field, value)
