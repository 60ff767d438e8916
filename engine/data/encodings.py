"""Encodings of a text: ids with the characters that each one stands for."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from itertools import accumulate

import numpy as np

Span = tuple[int, int]


@dataclass(frozen=True)
class Encoding:
    """Ids of a text, and the characters [start, end) of the text that each one stands for."""

    ids: list[int]
    spans: list[Span]


def encode_around(text: str, markers: Mapping[str, int], encode: Callable[[str], Encoding]) -> Encoding:
    """Encode a text in which markers stand for special ids; what is between them is encoded by itself."""
    longest_first = sorted(filter(None, markers), key=len, reverse=True)
    pattern = re.compile("|".join(map(re.escape, longest_first)) or r"(?!)")
    ids: list[int] = []
    spans: list[Span] = []
    start = 0
    for found in [*pattern.finditer(text), None]:
        stop = found.start() if found else len(text)
        if stop > start:
            piece = encode(text[start:stop])
            ids += piece.ids
            spans += [(start + first, start + last) for first, last in piece.spans]
        if found:
            ids.append(markers[found.group()])
            spans.append(found.span())
            start = found.end()
    return Encoding(ids, spans)


def spans_of_bytes(text: str, spans: list[Span]) -> list[Span]:
    """Turn spans in bytes of UTF-8 into spans in characters; a part of a character stands for all of it."""
    ends = np.array(list(accumulate((len(character.encode()) for character in text), initial=0)))
    starts = [start for start, _ in spans]
    stops = [stop for _, stop in spans]
    firsts = np.searchsorted(ends, starts, side="right") - 1
    lasts = np.searchsorted(ends, stops)
    return [(int(first), int(last)) for first, last in zip(firsts, lasts, strict=True)]
