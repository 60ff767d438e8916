"""How a column of the table looks: its title, where its head leads, which direction is better, how a value is said."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from dashboard.html import format as units
from dashboard.pages.table.query import State
from engine.telemetry.metrics import BY_NAME
from jobs import runs
from jobs.runs.directions import better_direction

STAT_WORDS = {"last": "", "min": "lowest ", "max": "highest ", "mean": "mean "}


@dataclass(frozen=True)
class Column:
    field: runs.Field
    title: str
    hint: str
    is_number: bool
    best: str  # low, high or '' where it is not known which way is better
    order: str  # the aria-sort of its head
    link: str  # where a press leads
    source: str  # metric, parameter, tag or ''

    @property
    def key(self) -> str:
        return str(self.field)


def columns_of(state: State) -> list[Column]:
    return [column_of(field, state) for field in state.columns]


def name_column(state: State) -> Column:
    """The first one, which no picker takes away."""
    return column_of(runs.Field("attribute", "name"), state)


def title_of(field: runs.Field) -> str:
    if field.kind == "attribute":
        return runs.ATTRIBUTES[field.key].title
    if field.kind == "metric":
        label = BY_NAME[field.key].label if field.key in BY_NAME else field.key
        stat = STAT_WORDS[field.stat]
        return (
            f"{stat}{label[0].lower()}{label[1:]}".capitalize()
            if stat and field.key in BY_NAME
            else f"{stat}{label}"
        )
    return field.key


def said(field: runs.Field, value: Any) -> str:
    """A number in its unit, as the table of metrics names it."""
    if value is None:
        return units.ABSENT
    if field.kind == "metric":
        return units.as_metric(value, field.key) if field.key in BY_NAME else units.as_figure(value)
    if field.kind == "attribute":
        kind = runs.ATTRIBUTES[field.key].type
        if kind == "seconds":
            return units.as_duration(value)
        if kind == "share":
            return units.as_share(value)
        if kind == "number":
            return units.as_whole(int(value)) if value == int(value) else units.as_figure(value)
    return str(value)


def column_of(field: runs.Field, state: State) -> Column:
    best = better_direction(field)
    is_here = state.sort == field
    starts_high = best == "high" or (field.kind == "attribute" and runs.ATTRIBUTES[field.key].type != "text")
    turned = not state.is_descending if is_here else starts_high
    return Column(
        field=field,
        title=title_of(field),
        hint=_hint(field),
        is_number=field.is_number,
        best=best,
        order=("descending" if state.is_descending else "ascending") if is_here else "",
        link=state.address(sort=f"{'-' if turned else ''}{field}"),
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
