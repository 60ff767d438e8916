"""Colours of runs: chosen by a person, by position in a view, or by id."""

from __future__ import annotations

import re
from zlib import crc32

from jobs.models import Run

HUES = 18  # 20 degrees apart: closer hues look alike on thin lines
TIERS = 2  # of lightness, defined for each theme in css/tokens.css
POSITIONS = 10  # --run-1 to --run-10 of css/tokens.css: distinct in both themes and with colour blindness
CHOSEN = re.compile(r"#[0-9a-fA-F]{6}")


def get_colour(run: Run) -> str:
    """Return a CSS colour for both themes where a run stands alone. Two runs may share one of the 36."""
    return get_chosen_colour(run) or colour_from_id(run.id)


def get_chosen_colour(run: Run) -> str:
    chosen = getattr(run, "colour", "")
    return chosen if CHOSEN.fullmatch(chosen) else ""


def colour_from_id(run_id: str) -> str:
    number = crc32(run_id.encode()) % (HUES * TIERS)
    tier, hue = divmod(number, HUES)
    return f"oklch(var(--run-light-{tier + 1}) var(--run-chroma) {hue * 360 // HUES + 15})"


def colour_from_position(position: int) -> str:
    """Colours repeat after POSITIONS; charts add dashes."""
    return f"var(--run-{position % POSITIONS + 1})"
