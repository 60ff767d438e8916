"""Safe HTML from Markdown that people write.

Raw HTML stays text, and images are not rendered.
"""

from __future__ import annotations

from markdown_it import MarkdownIt
from markdown_it.token import Token

# CommonMark with tables and strike-through. Links are http(s), mailto or relative: the library refuses javascript:,
# vbscript:, file: and data:.
PARSER = (
    MarkdownIt("commonmark", {"html": False, "breaks": True})
    .enable(["table", "strikethrough"])
    .disable("image")
)


def to_html(text: str) -> str:
    """Render Markdown as HTML that is safe to insert."""
    return render(PARSER.parse(text))


def render(tokens: list[Token]) -> str:
    """Render parsed Markdown as HTML."""
    return PARSER.renderer.render(tokens, PARSER.options, {})
