"""Figures as they stand in the sentences of a verdict."""

from __future__ import annotations


def share(value: float) -> str:
    """34 %; below one percent with a decimal."""
    return f"{100 * value:.1f} %" if 0 < value < 0.01 else f"{100 * value:.0f} %"


def seconds(value: float) -> str:
    """Three figures: 1.24 s, 38.1 ms, 250 us."""
    for unit, scale in (("s", 1.0), ("ms", 1e3)):
        if value * scale >= 1:
            return f"{value * scale:.3g} {unit}"
    return f"{value * 1e6:.3g} us"


def size(value: float) -> str:
    for unit, scale in (("TiB", 2**40), ("GiB", 2**30), ("MiB", 2**20)):
        if value >= scale:
            return f"{value / scale:.3g} {unit}"
    return f"{value / 1024:.3g} KiB"


def severity(value: float, notable: float, strong: float) -> str:
    return "strong" if value > strong else "notable" if value >= notable else ""
