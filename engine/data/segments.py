"""Split of text into training and validation parts, by content hash."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from itertools import chain

# Approximate size of the units that the split assigns, cut at line ends. A text of less than
# one has smaller ones, so that there are several to hold out.
UNIT_CHARS, LEAST_UNIT_CHARS = 4096, 32
LEAST_UNITS = 50


def split(texts: Sequence[str], validation_share: float) -> tuple[list[str], list[str]]:
    """Split texts into training and validation segments.

    Units are held out in the order of their hash, so the choice depends on the text alone and equal units (such as
    licence headers) go to the same part. Adjacent units of one part form one segment.
    """
    total = sum(map(len, texts))
    size = UNIT_CHARS if total > UNIT_CHARS else max(LEAST_UNIT_CHARS, total // LEAST_UNITS)
    units = [list(_units(text, size)) for text in texts]
    keys = _unit_keys(units)
    size_of: dict[str, int] = {}
    for key, unit in zip(chain(*keys), chain(*units), strict=True):
        size_of[key] = size_of.get(key, 0) + len(unit)
    wanted, held_out = validation_share * sum(size_of.values()), set[str]()
    for key in sorted(size_of):
        if wanted <= 0 or len(held_out) + 1 == len(size_of):
            break
        held_out.add(key)
        wanted -= size_of[key]
    parts: tuple[list[str], list[str]] = ([], [])
    for group, own in zip(units, keys, strict=True):
        side: bool | None = None
        for unit, key in zip(group, own, strict=True):
            previous, side = side, key in held_out
            if side is previous:
                parts[side][-1] += unit
            else:
                parts[side].append(unit)
    return parts


def _unit_keys(units: Sequence[Sequence[str]]) -> list[list[str]]:
    """Return the hash of each unit; where all units are equal, with its position, so that one can be held out."""
    keys = [[hashlib.sha256(unit.encode()).hexdigest() for unit in group] for group in units]
    if len(set(chain(*keys))) > 1:
        return keys
    return [[f"{n} {at} {key}" for at, key in enumerate(group)] for n, group in enumerate(keys)]


def _units(text: str, size: int) -> Iterator[str]:
    """Cut the text at line ends into units of about `size` characters; a longer line is cut in the middle."""
    start = 0
    while start < len(text):
        end = min(start + size, len(text))
        if end < len(text):
            end = text.rfind("\n", start + size // 2, end) + 1 or end
        yield text[start:end]
        start = end
