"""Text of pages, for tests that quote sentences of templates."""

from __future__ import annotations

import re


def collapse(text: str) -> str:
    """Replace each run of whitespace by one space, as a browser does."""
    return re.sub(r"\s+", " ", text)
