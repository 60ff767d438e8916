"""Text of pages, for tests that quote sentences of templates."""

from __future__ import annotations

import re
from typing import Any


def collapse(text: str) -> str:
    """Replace each run of whitespace by one space, as a browser does."""
    return re.sub(r"\s+", " ", text)


def read_run_page(browser: Any, run_id: str) -> str:
    """Return the texts of all tabs of a run's page, the overview first."""
    first = browser.get(f"/runs/{run_id}/")
    assert first.status_code == 200
    strip = first.text[first.text.index("data-tabs") :].partition("</nav>")[0]
    tabs = [browser.get(address) for address in re.findall(r'href="(/runs/[^"#]+)"', strip)[1:]]
    assert all(tab.status_code == 200 for tab in tabs)
    return "\n".join([first.text, *(tab.text for tab in tabs)])
