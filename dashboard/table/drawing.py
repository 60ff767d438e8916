"""The cells of a row as HTML.

Drawn here and not by a template: a page of 100 rows x 9 columns took 50 ms of CPU, and takes 32 with this and with
icons that are made once (2026-11-22)."""

from __future__ import annotations

from collections.abc import Iterable

from django.utils.html import escape
from django.utils.safestring import SafeString, mark_safe

from dashboard.table.cells import Cell
from dashboard.templatetags.page import ago, job_badge

LONG = 24  # characters, beyond which a cell says all of its text in its title
BEST = ' title="The best on this page"'


def drawn(cells: Iterable[Cell]) -> SafeString:
    """Everything that came from outside is escaped."""
    return mark_safe("".join(map(_cell, cells)))


def _cell(cell: Cell) -> str:
    label = f' data-label="{escape(cell.column.title)}"'
    if cell.kind == "state":
        return f"<td>{badge(cell.text)}</td>"
    if cell.kind == "time":
        return f'<td class="soft nowrap"{label}>{ago(cell.value)}</td>'
    text = escape(cell.text)
    if cell.kind == "number":
        best, why = (" is-best", BEST) if cell.is_best else ("", "")
        return f'<td class="right{best}"{label}{why}>{text}</td>'
    title = f' title="{text}"' if len(cell.text) > LONG else ""
    return f'<td class="soft"{label}{title}>{text}</td>'


def badge(state: str) -> str:
    return job_badge(state) if state else '<span class="badge-state">logged</span>'
