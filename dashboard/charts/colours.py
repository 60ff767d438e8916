"""Colour of a run: chosen by a person, else derived from its id."""

from __future__ import annotations

import re
from zlib import crc32

from jobs.models import Run

HUES = 18  # 20 degrees apart: closer hues look alike on thin lines
TIERS = 2  # of lightness, defined for each theme in css/tokens.css
CHOSEN = re.compile(r"#[0-9a-fA-F]{6}")


def get_colour(run: Run) -> str:
    """Return a CSS colour for both themes. Two runs may share one of the 36; charts add dashes."""
    chosen = getattr(run, "colour", "")
    return chosen if CHOSEN.fullmatch(chosen) else colour_from_id(run.id)


def colour_from_id(run_id: str) -> str:
    number = crc32(run_id.encode()) % (HUES * TIERS)
    tier, hue = divmod(number, HUES)
    return f"oklch(var(--run-light-{tier + 1}) var(--run-chroma) {hue * 360 // HUES + 15})"
