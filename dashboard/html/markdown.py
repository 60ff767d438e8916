"""Markdown that people write, as HTML that can do no harm: no HTML of their own, no pictures from elsewhere."""

from __future__ import annotations

from markdown_it import MarkdownIt
from markdown_it.token import Token

# CommonMark with tables and strike-through. Raw HTML stays text; links may only be http(s), mailto or relative: the
# library refuses javascript:, vbscript:, file: and data:.
PARSER = (
    MarkdownIt("commonmark", {"html": False, "breaks": True})
    .enable(["table", "strikethrough"])
    .disable("image")
)


def to_html(text: str) -> str:
    """Safe to show as it is."""
    return render(PARSER.parse(text))


def render(tokens: list[Token]) -> str:
    return PARSER.renderer.render(tokens, PARSER.options, {})
