"""Columns of the run table: title, sort link, best direction, formatting."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from dashboard.html import format as units
from dashboard.pages.table.query import TableState
from engine.telemetry.metrics import BY_NAME
from jobs import runs
from jobs.runs.directions import better_direction

STAT_PREFIXES = {"last": "", "min": "lowest ", "max": "highest ", "mean": "mean "}


@dataclass(frozen=True)
class TableColumn:
    field: runs.Field
    title: str
    hint: str
    is_number: bool
    best: str  # low, high, or '' if the better direction is not known
    order: str  # aria-sort of the head
    link: str  # address of the table sorted by this column
    source: str  # metric, parameter, tag or ''

    @property
    def key(self) -> str:
        return str(self.field)


def build_columns(state: TableState) -> list[TableColumn]:
    return [build_column(field, state) for field in state.columns]


def name_column(state: TableState) -> TableColumn:
    """Return the first column, which cannot be removed."""
    return build_column(runs.Field("attribute", "name"), state)


def get_title(field: runs.Field) -> str:
    if field.kind == "attribute":
        return runs.ATTRIBUTES[field.key].title
    if field.kind == "metric":
        label = BY_NAME[field.key].label if field.key in BY_NAME else field.key
        stat = STAT_PREFIXES[field.stat]
        return (
            f"{stat}{label[0].lower()}{label[1:]}".capitalize()
            if stat and field.key in BY_NAME
            else f"{stat}{label}"
        )
    return field.key


def format_value(field: runs.Field, value: Any) -> str:
    """Format a value in the unit of its field."""
    if value is None:
        return units.ABSENT
    if field.kind == "metric":
        return units.as_metric(value, field.key)
    if field.kind == "attribute":
        kind = runs.ATTRIBUTES[field.key].type
        if kind == "seconds":
            return units.as_duration(value)
        if kind == "share":
            return units.as_share(value)
        if kind == "number":
            return units.as_whole(int(value)) if value == int(value) else units.as_figure(value)
    return str(value)


def build_column(field: runs.Field, state: TableState) -> TableColumn:
    best = better_direction(field)
    is_sorted = state.sort == field
    starts_high = best == "high" or (field.kind == "attribute" and runs.ATTRIBUTES[field.key].type != "text")
    is_descending_next = not state.is_descending if is_sorted else starts_high
    return TableColumn(
        field=field,
        title=get_title(field),
        hint=_hint(field),
        is_number=field.is_number,
        best=best,
        order=("descending" if state.is_descending else "ascending") if is_sorted else "",
        link=state.address(sort=f"{'-' if is_descending_next else ''}{field}"),
        source={"metric": "metric", "param": "parameter", "tag": "tag"}.get(field.kind, ""),
    )


def _hint(field: runs.Field) -> str:
    if field.kind == "attribute":
        meaning = runs.ATTRIBUTES[field.key].meaning
    elif field.kind == "metric":
        meaning = BY_NAME[field.key].meaning if field.key in BY_NAME else f"Metric {field.key}"
    else:
        meaning = f"{'Parameter' if field.kind == 'param' else 'Tag'} {field.key}"
    return f"{meaning}. Runs without a value come last.".removeprefix(". ")
