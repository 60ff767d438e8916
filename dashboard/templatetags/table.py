"""What templates say with the state of the runs table: links, titles, and the pointer into a filter."""

from __future__ import annotations

from django import template

from dashboard.table.columns import title_of
from dashboard.table.state import State
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


@register.filter
def as_name(key: str) -> str:
    """A key as it stands in a filter."""
    return runs.quoted(key)


@register.filter
def pointed(refusal: runs.FilterError, text: str) -> str:
    """The filter, and under it what is meant."""
    return f"{text}\n{' ' * refusal.start}{'^' * (refusal.end - refusal.start)}"
