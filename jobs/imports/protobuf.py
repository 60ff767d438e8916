"""Protocol buffer wire format, decoded without a schema.

Source: protobuf.dev, "Encoding".
"""

from __future__ import annotations

import struct
from collections.abc import Iterator

VARINT, FIXED64, BYTES, FIXED32 = 0, 1, 2, 5
Value = int | bytes


def iter_fields(data: bytes) -> Iterator[tuple[int, Value]]:
    """(number, value) of each field: an int for varints, else the raw bytes. Raises ValueError for cut data."""
    offset = 0
    while offset < len(data):
        tag, offset = _read_varint(data, offset)
        number, kind = tag >> 3, tag & 7
        if kind == VARINT:
            value, offset = _read_varint(data, offset)
            yield number, value
            continue
        if kind == BYTES:
            size, offset = _read_varint(data, offset)
        elif kind in (FIXED64, FIXED32):
            size = 8 if kind == FIXED64 else 4
        else:
            raise ValueError(f"field {number} has wire type {kind}")
        if offset + size > len(data):
            raise ValueError(f"field {number} is cut short")
        yield number, data[offset : offset + size]
        offset += size


def parse_message(data: Value) -> dict[int, list[Value]]:
    """All fields of a message: number -> values in order."""
    fields: dict[int, list[Value]] = {}
    for number, value in iter_fields(as_bytes(data)):
        fields.setdefault(number, []).append(value)
    return fields


def as_bytes(value: Value) -> bytes:
    if isinstance(value, int):
        raise ValueError("a number where bytes belong")
    return value


def as_text(value: Value) -> str:
    return as_bytes(value).decode("utf-8", "replace")


def as_double(value: Value) -> float:
    return struct.unpack("<d", as_bytes(value))[0]


def as_float(value: Value) -> float:
    return struct.unpack("<f", as_bytes(value))[0]


def as_int64(value: Value) -> int:
    if isinstance(value, bytes):
        raise ValueError("bytes where a number belongs")
    return value - (1 << 64) if value >= 1 << 63 else value


def _read_varint(data: bytes, offset: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        if offset >= len(data) or shift > 63:
            raise ValueError("a number is cut short")
        byte = data[offset]
        offset += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, offset
        shift += 7
