"""What stands in a frame: rows of points as they were logged, or something to tell the server; and rows as columns."""

from __future__ import annotations

import sys
from array import array
from collections.abc import Iterable
from typing import Any

import msgspec

from fourwalls.limits import NO_STEP

ROWS, TOLD = b"R", b"T"

# step, microseconds since 1970, values by metric, source
Row = tuple[int | None, int, dict[str, float], str]

_encode = msgspec.msgpack.Encoder().encode
_rows = msgspec.msgpack.Decoder(list[Row])
_told = msgspec.msgpack.Decoder(tuple[str, dict[str, Any]])


def of_rows(rows: list[Row]) -> bytes:
    """Raises TypeError, OverflowError or UnicodeEncodeError for what is no point."""
    return ROWS + _encode(rows)


def of_told(what: str, values: dict[str, Any]) -> bytes:
    return TOLD + _encode((what, values))


def rows_of(content: bytes) -> list[Row] | None:
    """None for a frame that tells something."""
    return _rows.decode(memoryview(content)[1:]) if content[:1] == ROWS else None


def told_of(content: bytes) -> tuple[str, dict[str, Any]]:
    return _told.decode(memoryview(content)[1:])


def batch_of(seq: int, rows: Iterable[Row]) -> dict[str, Any]:
    """The rows in columns, as the server takes them; steps and times that all series share stand once."""
    columns: dict[tuple[str, str], tuple[array[int], array[int], array[float]]] = {}
    for step, at_us, values, source in rows:
        place = NO_STEP if step is None else step
        for metric, value in values.items():
            found = columns.get((metric, source))
            if found is None:
                found = columns[metric, source] = (array("q"), array("q"), array("d"))
            found[0].append(place)
            found[1].append(at_us)
            found[2].append(value)
    series = [
        {
            "metric": key[0],
            "source": key[1],
            "steps": _packed(steps),
            "times": _packed(at),
            "values": _packed(some),
        }
        for key, (steps, at, some) in columns.items()
    ]
    batch: dict[str, Any] = {"seq": seq, "series": series}
    for name in ("steps", "times"):
        if len({one[name] for one in series}) == 1:
            batch[name] = series[0][name]
            for one in series:
                del one[name]
    return batch


def _packed(column: array[Any]) -> bytes:
    """Little-endian, whatever this machine is."""
    if sys.byteorder == "big":
        column.byteswap()
    return column.tobytes()
