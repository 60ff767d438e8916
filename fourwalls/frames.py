"""Content of spool frames: rows of points, or a message to the server."""

from __future__ import annotations

import sys
from array import array
from collections.abc import Iterable
from typing import Any, Optional

import msgspec

from fourwalls.limits import NO_STEP

ROWS_FRAME, MESSAGE_FRAME = b"R", b"T"

# step, microseconds since 1970, metric -> value, source
LogRow = tuple[Optional[int], int, dict[str, float], str]

_encode = msgspec.msgpack.Encoder().encode
_rows_decoder = msgspec.msgpack.Decoder(list[LogRow])
_message_decoder = msgspec.msgpack.Decoder(tuple[str, dict[str, Any]])


def encode_rows(rows: list[LogRow]) -> bytes:
    """Encode rows. Raises TypeError, OverflowError or UnicodeEncodeError for an invalid row."""
    return ROWS_FRAME + _encode(rows)


def encode_message(kind: str, values: dict[str, Any]) -> bytes:
    return MESSAGE_FRAME + _encode((kind, values))


def decode_rows(content: bytes) -> list[LogRow] | None:
    """The rows of a frame; None if it holds a message."""
    return _rows_decoder.decode(memoryview(content)[1:]) if content[:1] == ROWS_FRAME else None


def decode_message(content: bytes) -> tuple[str, dict[str, Any]]:
    return _message_decoder.decode(memoryview(content)[1:])


def build_batch(seq: int, rows: Iterable[LogRow]) -> dict[str, Any]:
    """The rows as columns, in the form of the server's API; steps and times that all series share are sent once."""
    columns: dict[tuple[str, str], tuple[array[int], array[int], array[float]]] = {}
    for step, at_us, values, source in rows:
        packed_step = NO_STEP if step is None else step
        for metric, value in values.items():
            arrays = columns.get((metric, source))
            if arrays is None:
                arrays = columns[metric, source] = (array("q"), array("q"), array("d"))
            arrays[0].append(packed_step)
            arrays[1].append(at_us)
            arrays[2].append(value)
    series = [
        {
            "metric": key[0],
            "source": key[1],
            "steps": _pack(steps),
            "times": _pack(times),
            "values": _pack(values),
        }
        for key, (steps, times, values) in columns.items()
    ]
    batch: dict[str, Any] = {"seq": seq, "series": series}
    for name in ("steps", "times"):
        if len({one[name] for one in series}) == 1:
            batch[name] = series[0][name]
            for one in series:
                del one[name]
    return batch


def _pack(column: array[Any]) -> bytes:
    """The bytes of a column, little-endian on every machine."""
    if sys.byteorder == "big":
        column.byteswap()
    return column.tobytes()
