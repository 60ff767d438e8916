"""Number formats of a verdict's sentences."""

from __future__ import annotations


def format_share(value: float) -> str:
    """34 %; below one percent with a decimal."""
    return f"{100 * value:.1f} %" if 0 < value < 0.01 else f"{100 * value:.0f} %"


def format_bytes(value: float) -> str:
    """Three figures in binary units: 1.5 GiB."""
    for unit, scale in (("TiB", 2**40), ("GiB", 2**30), ("MiB", 2**20)):
        if value >= scale:
            return f"{value / scale:.3g} {unit}"
    return f"{value / 1024:.3g} KiB"
