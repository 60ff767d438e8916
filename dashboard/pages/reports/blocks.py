"""A report as it is read: Markdown, with the address of a compare page on a line of its own turned into live charts."""

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
from dashboard.pages.compare import differences
from jobs import series
from jobs.models import Run, SavedView
from jobs.models.sharing import SavedPage

BLOCKS_LIMIT = 12  # of charts in one report
PANELS_LIMIT = 4  # of charts in one block, unless the address names its metrics
SAVED = re.compile(r"^/v/(\w{1,12})/$")


@dataclass
class Block:
    """Charts where an address stood. `problem` is what a reader is told instead, or beside them."""

    address: str
    query: str = ""
    runs: list[Run] = field(default_factory=list)
    panels: list[Panel] = field(default_factory=list)
    problem: str = ""


@dataclass
class Piece:
    html: str = ""
    block: Block | None = None


def pieces(text: str, scope: Scope) -> list[Piece]:
    """The parts of a report from top to bottom; only runs that the scope sees are drawn."""
    found: list[Piece] = []
    plain: list[Token] = []
    tokens = markdown.PARSER.parse(text)
    num_blocks = 0
    for index, token in enumerate(tokens):
        address = _address(token) if token.type == "inline" and tokens[index - 1].level == 0 else None
        if address is None or num_blocks == BLOCKS_LIMIT:
            plain.append(token)
            continue
        num_blocks += 1
        plain.pop()  # the paragraph that held nothing else
        found += [Piece(html=markdown.render(plain)), Piece(block=_block(address, scope))]
        plain = []
        tokens[index + 1].hidden = True
    found.append(Piece(html=markdown.render([token for token in plain if not _is_rest(token)])))
    return [piece for piece in found if piece.block or piece.html.strip()]


def names_of(found: list[Piece]) -> dict[str, object]:
    """What the scripts call the runs of all blocks, and their colours."""
    runs = {run.id: run for piece in found if piece.block for run in piece.block.runs}
    shown = list(runs.values())
    return {
        "runs": run_labels.of_runs(shown),
        "devices": {},
        "facets": differences.of_runs(shown).facets,
    }


def _is_rest(token: Token) -> bool:
    """The closing of a paragraph that became charts."""
    return token.type == "paragraph_close" and token.hidden and token.level == 0


def _address(token: Token) -> str | None:
    """The text of a paragraph that is nothing but the address of a compare page or a saved view."""
    text = token.content.strip()
    text = text[1:-1] if text.startswith("<") and text.endswith(">") else text
    if not text or any(mark.isspace() for mark in text):
        return None
    path = urlsplit(text).path
    return text if path == reverse("compare") or SAVED.match(path) else None


def _block(address: str, scope: Scope) -> Block:
    parts = urlsplit(address)
    query = parts.query
    if saved := SAVED.match(parts.path):
        view = scope.seen(SavedView).filter(id=saved[1]).first()
        if view is None or view.page != SavedPage.COMPARE:
            return Block(address, problem="This view of a compare page is gone, or not for you.")
        query = view.query
    asked = parse_qs(query)
    choice = selection.chosen(scope, asked.get("run", []), asked.get("filter", [""])[0])
    asked.pop("open", None)  # a chart that fills the window would cover the text
    block = Block(address, urlencode(asked, doseq=True), choice.runs, problem=choice.problem)
    if not block.runs:
        block.problem = block.problem or "None of its runs is there, or none is for you."
        return block
    if choice.num_left_out:
        block.problem = f"{choice.num_left_out} of its runs are left out: gone, not for you, or too many."
    named = [name for name in dict.fromkeys(asked.get("metric", [])) if name]
    there = series.metrics_of([run.id for run in block.runs])
    sections = chart_sections.chosen(named) if named else chart_sections.sections(there, may_grow=False)
    panels = [panel for _, row in sections for panel in row if panel.kind == "lines"]
    block.panels = panels if named else panels[:PANELS_LIMIT]
    return block
