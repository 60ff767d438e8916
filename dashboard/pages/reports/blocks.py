"""Rendering of reports: Markdown, with live charts for addresses of compare pages.

An address on a line of its own is replaced by the charts of that page.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from urllib.parse import parse_qs, urlencode, urlsplit

from django.urls import reverse
from markdown_it.token import Token

from dashboard.access import Scope
from dashboard.charts import chart_sections, run_labels, selection
from dashboard.charts.panels import Panel
from dashboard.html import markdown
from jobs import series
from jobs.models import Run, SavedView
from jobs.models.sharing import SavedPage
from jobs.runs.differences import find_differences

CHART_BLOCKS_LIMIT = 12  # per report
PANELS_SHOWN = 6  # charts per block at first, unless the address names its metrics
SAVED = re.compile(r"^/v/(\w{1,12})/$")


@dataclass
class ChartBlock:
    """Charts of one address. `problem` is a message that is shown instead of them or beside them."""

    address: str
    query: str = ""
    runs: list[Run] = field(default_factory=list)
    panels: list[Panel] = field(default_factory=list)
    more_panels: list[Panel] = field(default_factory=list)  # folded, because they would fill the report
    num_panels: int = 0  # of the page; more than both where they are very many
    problem: str = ""


@dataclass
class ReportBlock:
    """Either HTML or charts."""

    html: str = ""
    charts: ChartBlock | None = None


def build_blocks(text: str, scope: Scope) -> list[ReportBlock]:
    """Split a report into blocks. Charts show only runs that the scope sees."""
    found: list[ReportBlock] = []
    plain: list[Token] = []
    tokens = markdown.PARSER.parse(text)
    num_blocks = 0
    for index, token in enumerate(tokens):
        address = _address(token) if token.type == "inline" and tokens[index - 1].level == 0 else None
        if address is None or num_blocks == CHART_BLOCKS_LIMIT:
            plain.append(token)
            continue
        num_blocks += 1
        plain.pop()  # the opening of the paragraph that holds the address only
        found += [
            ReportBlock(html=markdown.render(plain)),
            ReportBlock(charts=_build_chart_block(address, scope)),
        ]
        plain = []
        tokens[index + 1].hidden = True
    found.append(
        ReportBlock(html=markdown.render([token for token in plain if not _closes_chart_paragraph(token)]))
    )
    return [block for block in found if block.charts or block.html.strip()]


def build_chart_names(blocks: list[ReportBlock]) -> dict[str, object]:
    """Return names and colours of the runs of all blocks, for the charts."""
    runs = {run.id: run for block in blocks if block.charts for run in block.charts.runs}
    shown = list(runs.values())
    return {
        "runs": run_labels.label_runs(shown),
        "devices": {},
        "facets": find_differences(shown).facets,
    }


def _closes_chart_paragraph(token: Token) -> bool:
    """Whether the token closes a paragraph that became charts."""
    return token.type == "paragraph_close" and token.hidden and token.level == 0


def _address(token: Token) -> str | None:
    """Return the address if a paragraph holds only the address of a compare page or a saved view."""
    text = token.content.strip()
    text = text[1:-1] if text.startswith("<") and text.endswith(">") else text
    if not text or any(character.isspace() for character in text):
        return None
    try:
        path = urlsplit(text).path
    except ValueError:  # such as //[, which is text like any other
        return None
    return text if path == reverse("compare") or SAVED.match(path) else None


def _build_chart_block(address: str, scope: Scope) -> ChartBlock:
    parts = urlsplit(address)
    query = parts.query
    if saved := SAVED.match(parts.path):
        view = scope.seen(SavedView).filter(id=saved[1]).first()
        if view is None or view.page != SavedPage.COMPARE:
            return ChartBlock(address, problem="This saved view does not exist, or you have no access.")
        query = view.query
    values = parse_qs(query)
    selected = selection.select_runs(scope, values.get("run", []), values.get("filter", [""])[0])
    values.pop("open", None)  # a chart in full-window mode would cover the text
    block = ChartBlock(address, urlencode(values, doseq=True), selected.runs, problem=selected.problem)
    if not block.runs:
        block.problem = block.problem or "No run of this page exists, or you have no access."
        return block
    if selected.num_left_out:
        block.problem = f"{selected.num_left_out} runs are left out: deleted, without access, or too many."
    named = [name for name in dict.fromkeys(values.get("metric", [])) if name]
    recorded = series.metrics_of([run.id for run in block.runs])
    sections = chart_sections.select_sections(named, recorded, may_grow=False)
    panels = [panel for _, row in sections for panel in row if panel.kind == "lines"]
    panels.sort(key=lambda panel: chart_sections.get_importance(panel.key)[0])
    num_shown = len(panels) if named else PANELS_SHOWN
    block.panels, block.num_panels = panels[:num_shown], len(panels)
    block.more_panels = panels[num_shown : chart_sections.MAX_PANELS]
    return block
