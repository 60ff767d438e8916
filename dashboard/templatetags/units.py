"""Template filters of values with units."""

from __future__ import annotations

from django import template

from dashboard.html import format

register = template.Library()
for _name in (
    "as_count",
    "as_whole",
    "as_eta",
    "as_bytes",
    "as_figure",
    "as_share",
    "as_width",
    "as_saving",
    "as_small_time",
    "as_signed_share",
    "as_pct",
    "as_duration",
    "as_hours",
    "as_kwh",
    "as_money",
    "as_unit",
    "as_metric",
):
    register.filter(_name, getattr(format, _name))


@register.filter
def unbroken(text: str) -> str:
    """Put a non-breaking space before each per cent sign."""
    return text.replace(" %", "\u00a0%")
