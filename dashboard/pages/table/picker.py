"""Column picker: all fields of the runs, with the number of runs that have them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from django.db.models import QuerySet

from dashboard.pages.table.columns import get_title
from dashboard.pages.table.query import TableState, is_groupable
from jobs import runs
from jobs.models import Run

KINDS = (("metric", "Metrics"), ("param", "Parameters"), ("tag", "Tags"))


class FieldOption(NamedTuple):
    field: runs.Field
    title: str
    num_runs: int | None
    is_selected: bool
    is_groupable: bool

    @property
    def key(self) -> str:
        return str(self.field)


@dataclass(frozen=True)
class Picker:
    selected: list[FieldOption]  # in the order of the table
    sections: list[tuple[str, list[FieldOption]]]
    groupable: list[FieldOption]


def build_picker(state: TableState, found: QuerySet[Run]) -> Picker:
    """List the fields of the runs that the user may see."""
    attributes = [runs.Field("attribute", name) for name in runs.ATTRIBUTES if name != "name"]
    sections = [("Run", [_build_option(field, state, None) for field in attributes])]
    for kind, title in KINDS:
        stat = "last" if kind == "metric" else ""
        options = [_build_option(runs.Field(kind, key, stat), state, n) for key, n in runs.keys(found, kind)]  # type: ignore[arg-type]
        sections.append((title, options))
    selected = [_build_option(field, state, None) for field in state.columns]
    groupable = [option for _, options in sections for option in options if option.is_groupable]
    return Picker(selected, [(title, options) for title, options in sections if options], groupable)


def _build_option(field: runs.Field, state: TableState, num_runs: int | None) -> FieldOption:
    return FieldOption(field, get_title(field), num_runs, field in state.columns, is_groupable(field))
