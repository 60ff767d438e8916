"""Runs in groups: each with its count, and of every column of numbers mean, extremes and spread."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from django.db.models import F, QuerySet

from dashboard.pages.table import columns as looks
from dashboard.pages.table.columns import Column
from dashboard.pages.table.query import State
from jobs import runs
from jobs.models import Run

GROUPS_LIMIT = 200
Key = tuple[Any, ...]


@dataclass(frozen=True)
class Figures:
    """One column of one group; all None where no run of it has a finite value."""

    column: Column
    count: int = 0  # of finite values: NaN and infinities are left out
    mean: float | None = None
    low: float | None = None
    high: float | None = None
    spread: float | None = None  # standard deviation of a sample; None of a single value

    @property
    def said(self) -> dict[str, str]:
        field = self.column.field
        figures = {"mean": self.mean, "low": self.low, "high": self.high, "spread": self.spread}
        return {name: looks.said(field, value) for name, value in figures.items()}


@dataclass(frozen=True)
class Group:
    names: list[tuple[str, str]]  # title of the field, its value
    count: int
    figures: list[Figures]
    filter: str  # that finds its runs


@dataclass(frozen=True)
class Groups:
    groups: list[Group]
    columns: list[Column]
    total: int  # runs in all of them
    is_cut: bool


def of_state(found: QuerySet[Run], state: State, limit: int | None = GROUPS_LIMIT) -> Groups:
    """One query, however many runs there are; the figures are made here, because SQLite has no standard deviation
    and PostgreSQL no mean of huge values. The largest groups first, or in the order of a column."""
    columns = [column for column in looks.columns_of(state) if column.field.is_number]
    members: dict[Key, list[Sequence[Any]]] = {}
    num_fields = len(state.groups)
    for row in _values(found, [*state.groups, *(column.field for column in columns)]):
        members.setdefault(tuple(row[:num_fields]), []).append(row[num_fields:])
    groups = [_group(key, rows, state, columns) for key, rows in members.items()]
    groups.sort(key=lambda group: (-group.count, group.names))
    _put_in_order(groups, state, columns)
    shown = groups[:limit]
    return Groups(shown, columns, sum(group.count for group in groups), len(groups) > len(shown))


def _values(found: QuerySet[Run], fields: list[runs.Field]) -> Iterable[Sequence[Any]]:
    """One value of each field for every run."""
    rows: Any = found.order_by()
    names = []
    for n, field in enumerate(fields):
        if field.kind == "attribute":
            rows = rows.alias(**{f"of_{n}": runs.ATTRIBUTES[field.key].read})
            names.append(f"of_{n}")
        else:
            rows = runs.joined(rows, f"of_{n}", field)
            names.append(f"of_{n}__{runs.STATS[field.stat] if field.kind == 'metric' else 'value'}")
    return rows.values_list(*(F(name) for name in names))


def _group(key: Key, rows: list[Sequence[Any]], state: State, columns: list[Column]) -> Group:
    values = list(zip(state.groups, key, strict=True))
    own = " and ".join(f"{field} = {_literal(field, value)}" for field, value in values)
    return Group(
        names=[(looks.title_of(field), _shown(field, value)) for field, value in values],
        count=len(rows),
        figures=[_figures(column, [row[n] for row in rows]) for n, column in enumerate(columns)],
        filter=f"({state.filter}) and {own}" if state.filter else own,
    )


def _figures(column: Column, values: list[Any]) -> Figures:
    numbers = np.array(values, dtype=float)  # None becomes NaN
    finite = numbers[np.isfinite(numbers)]
    if not len(finite):
        return Figures(column)
    with np.errstate(
        over="ignore", invalid="ignore"
    ):  # squares of huge values: no spread, rather than a wrong one
        spread = float(finite.std(ddof=1)) if len(finite) > 1 else np.nan
        mean = float((finite / len(finite)).sum())
    spread_or_none = spread if np.isfinite(spread) else None
    return Figures(column, len(finite), mean, float(finite.min()), float(finite.max()), spread_or_none)


def _put_in_order(groups: list[Group], state: State, columns: list[Column]) -> None:
    """By the mean of the column by which the table is sorted, or by a field that makes the groups."""
    fields = [column.field for column in columns]
    if state.sort in fields:
        at = fields.index(state.sort)
        sign = -1 if state.is_descending else 1
        groups.sort(key=lambda group: _last_if_none(group.figures[at].mean, sign))
    elif state.sort in state.groups:
        at = state.groups.index(state.sort)
        groups.sort(key=lambda group: group.names[at][1], reverse=state.is_descending)


def _last_if_none(value: float | None, sign: int) -> tuple[bool, float]:
    return value is None, 0.0 if value is None else sign * value


def _literal(field: runs.Field, value: Any) -> str:
    is_absent = value is None or (value == "" and field.kind == "attribute")
    return "none" if is_absent else runs.quoted(str(value))


def _shown(field: runs.Field, value: Any) -> str:
    return "none" if value is None else "(empty)" if value == "" else looks.said(field, value)
