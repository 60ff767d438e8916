"""Split of text into training and validation parts, by content hash."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence

UNIT_CHARS = 4096  # approximate size of the units that the split assigns, cut at line ends


def split(texts: Sequence[str], validation_share: float) -> tuple[list[str], list[str]]:
    """Split texts into training and validation segments.

    Units are held out in the order of their hash, so the choice depends on the text alone and equal units (such as
    licence headers) go to the same part. Adjacent units of one part form one segment.
    """
    units = [list(_units(text)) for text in texts]
    size_of: dict[str, int] = {}
    for unit in (unit for group in units for unit in group):
        digest = _unit_hash(unit)
        size_of[digest] = size_of.get(digest, 0) + len(unit)
    wanted, held_out = validation_share * sum(size_of.values()), set[str]()
    for digest in sorted(size_of):
        if wanted <= 0 or len(held_out) + 1 == len(size_of):
            break
        held_out.add(digest)
        wanted -= size_of[digest]
    parts: tuple[list[str], list[str]] = ([], [])
    for group in units:
        side: bool | None = None
        for unit in group:
            previous, side = side, _unit_hash(unit) in held_out
            if side is previous:
                parts[side][-1] += unit
            else:
                parts[side].append(unit)
    return parts


def _unit_hash(unit: str) -> str:
    return hashlib.sha256(unit.encode()).hexdigest()


def _units(text: str) -> Iterator[str]:
    """Cut the text at line ends into units of about UNIT_CHARS; a longer line is cut in the middle."""
    start = 0
    while start < len(text):
        end = min(start + UNIT_CHARS, len(text))
        if end < len(text):
            end = text.rfind("\n", start + UNIT_CHARS // 2, end) + 1 or end
        yield text[start:end]
        start = end
