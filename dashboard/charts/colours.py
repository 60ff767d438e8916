"""The colour of a run: the one a person chose, else one that its id alone decides, the same on every page."""

from __future__ import annotations

import re
from zlib import crc32

from jobs.models import Run

HUES = 18  # degrees of 20 apart: closer ones are not told apart on a chart of thin lines
TIERS = 2  # of lightness, which css/tokens.css sets for each theme
CHOSEN = re.compile(r"#[0-9a-fA-F]{6}")


def colour_of(run: Run) -> str:
    """A colour in CSS for both themes. Two runs may share one (of 36): on a chart dashes tell them apart too."""
    chosen = getattr(run, "colour", "")
    return chosen if CHOSEN.fullmatch(chosen) else colour_of_id(run.id)


def colour_of_id(run_id: str) -> str:
    number = crc32(run_id.encode()) % (HUES * TIERS)
    tier, hue = divmod(number, HUES)
    return f"oklch(var(--run-light-{tier + 1}) var(--run-chroma) {hue * 360 // HUES + 15})"
