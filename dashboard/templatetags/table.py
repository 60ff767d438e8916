"""Template tags of the run table."""

from __future__ import annotations

from collections.abc import Container

from django import template
from django.utils.safestring import SafeString, mark_safe

from dashboard.pages.table.columns import get_title
from dashboard.pages.table.query import TableState
from dashboard.pages.table.rendering import RowRenderer
from dashboard.pages.table.rows import TablePage
from jobs import runs

register = template.Library()


@register.filter
def without_filter(state: TableState) -> str:
    return state.address(filter="")


@register.filter
def with_filter(state: TableState, text: str) -> str:
    return state.address(filter=text)


@register.filter
def only_group(state: TableState, text: str) -> str:
    """Return the address of the runs of one group as a list."""
    return state.address(filter=text, group=[])


@register.filter
def field_title(field: runs.Field) -> str:
    return get_title(field)


@register.simple_tag
def render_rows(page: TablePage, written: Container[int]) -> SafeString:
    """Render the rows of a page. `written`: teams on whose runs the user may write. The renderer escapes each row."""
    renderer = RowRenderer()
    return mark_safe(
        "".join(
            renderer.render_row(
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
    """Return a key as it is written in a filter."""
    return runs.quoted(key)


@register.filter
def with_pointer(error: runs.FilterError, text: str) -> str:
    """Return the filter with a pointer below the part that is wrong."""
    return f"{text}\n{' ' * error.start}{'^' * (error.end - error.start)}"
