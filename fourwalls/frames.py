"""Content of spool frames: rows of points, or a message to the server."""

from __future__ import annotations

import sys
from array import array
from collections import defaultdict
from collections.abc import Iterable
from typing import Any, Optional

import msgspec

from fourwalls.limits import NO_STEP

ROWS_FRAME, MESSAGE_FRAME = b"R", b"T"

Column = tuple[bytes, bytes, bytes]  # steps, times, values
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
    columns = _build_columns(list(rows))
    series = [
        {
            "metric": key[0],
            "source": key[1],
            "steps": steps,
            "times": times,
            "values": values,
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


def _build_columns(rows: list[LogRow]) -> dict[tuple[str, str], Column]:
    """(metric, source) -> its packed steps, times and values.

    Rows of one source mostly have the same metrics, so that one column of steps serves all of them. Where a metric is
    in rows of different metrics, all is built value by value, which takes four times as long.
    """
    shapes: defaultdict[tuple[str, ...], list[LogRow]] = defaultdict(list)
    for row in rows:
        shapes[(row[3], *row[2])].append(row)
    found: dict[tuple[str, str], Column] = {}
    for (source, *metrics), alike in shapes.items():
        steps = _pack(array("q", [NO_STEP if row[0] is None else row[0] for row in alike]))
        times = _pack(array("q", [row[1] for row in alike]))
        columns = zip(*[row[2].values() for row in alike])
        for metric, column in zip(metrics, columns):
            if (metric, source) in found:
                return _build_mixed_columns(rows)
            found[metric, source] = (steps, times, _pack(array("d", column)))
    return found


def _build_mixed_columns(rows: list[LogRow]) -> dict[tuple[str, str], Column]:
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
    return {
        key: (_pack(steps), _pack(times), _pack(values)) for key, (steps, times, values) in columns.items()
    }


def _pack(column: array[Any]) -> bytes:
    """The bytes of a column, little-endian on every machine."""
    if sys.byteorder == "big":
        column.byteswap()
    return column.tobytes()
