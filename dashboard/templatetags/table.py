"""What templates say of the runs table: its rows, links, titles, and the pointer into a filter."""

from __future__ import annotations

from collections.abc import Container

from django import template
from django.utils.safestring import SafeString, mark_safe

from dashboard.pages.table.columns import title_of
from dashboard.pages.table.query import State
from dashboard.pages.table.rendering import Pen
from dashboard.pages.table.rows import Rows
from jobs import runs

register = template.Library()


@register.filter
def without_filter(state: State) -> str:
    return state.address(filter="")


@register.filter
def only_group(state: State, text: str) -> str:
    """The runs of one group as a list."""
    return state.address(filter=text, group=[])


@register.filter
def field_title(field: runs.Field) -> str:
    return title_of(field)


@register.simple_tag
def rows_of(page: Rows, written: Container[int]) -> SafeString:
    """The rows of a page; `written`: teams on whose runs the reader may write. Each row is escaped by who draws it."""
    pen = Pen()
    return mark_safe(
        "".join(
            pen.row(
                row.run,
                row.colour,
                row.cells,
                row.tags,
                num_children=row.num_children,
                is_pinned=row.is_pinned,
                is_hidden=row.is_hidden,
                may_write=row.run.team_id in written,
            )
            for row in page.rows
        )
    )


@register.filter
def as_name(key: str) -> str:
    """A key as it stands in a filter."""
    return runs.quoted(key)


@register.filter
def pointed(refusal: runs.FilterError, text: str) -> str:
    """The filter, and under it what is meant."""
    return f"{text}\n{' ' * refusal.start}{'^' * (refusal.end - refusal.start)}"
