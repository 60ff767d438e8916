"""Markup of chart panels, rendered once for each kind and filled with names.

A page of 300 panels took 100 ms of CPU by the template alone (2026-12-01). What differs between panels of one kind are
texts, so that the template is rendered with marks, which are replaced.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from django.template.loader import render_to_string
from django.utils.html import escape
from django.utils.safestring import SafeString, mark_safe

from dashboard.charts.panels import Panel
from dashboard.html.markup import cut_middle

# Private-use characters, which no escaping changes and no name can contain unescaped
MARKS = {name: chr(0xF8A0 + number) for number, name in enumerate(("title", "metrics", "meaning", "prefix"))}


Kind = tuple[Any, ...]
_rendered: dict[Kind, str] = {}  # kind of panel -> its markup with marks


class MarkedPanel:
    """A panel whose texts are marks."""

    def __init__(self, panel: Panel) -> None:
        self.title, self.meaning, self.joined_metrics = MARKS["title"], MARKS["meaning"], MARKS["metrics"]
        self.prefix = MARKS["prefix"] if panel.prefix else ""
        self.metrics, self.kind, self.is_optional = panel.metrics, panel.kind, panel.is_optional
        self.scope, self.unit, self.floor, self.ceiling = panel.scope, panel.unit, panel.floor, panel.ceiling


def render_panel(
    panel: Panel, state: str = "", absences: Sequence[Any] = (), sources: Sequence[Any] = ()
) -> SafeString:
    texts = (panel.title, panel.joined_metrics, panel.meaning, panel.prefix)
    if absences or panel.kind != "lines" or any(mark in text for text in texts for mark in MARKS.values()):
        context = {"panel": panel, "state": state, "absences": absences, "sources": sources}
        return render_to_string("parts/panel.html", context)
    kind = (panel.scope, panel.unit, panel.floor, panel.ceiling, panel.is_optional, bool(panel.prefix), state)
    if kind not in _rendered:
        _rendered[kind] = render_to_string("parts/panel.html", {"panel": MarkedPanel(panel), "state": state})
    markup = _rendered[kind].replace(cut_middle(MARKS["title"]), cut_middle(panel.title))
    for mark, text in zip(MARKS.values(), texts, strict=True):
        markup = markup.replace(mark, escape(text))
    return mark_safe(markup)
