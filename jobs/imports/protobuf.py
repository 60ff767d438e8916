"""The wire format of protocol buffers: fields by number, without anybody's schema (protobuf.dev, "Encoding")."""

from __future__ import annotations

import struct
from collections.abc import Iterator

VARINT, FIXED64, BYTES, FIXED32 = 0, 1, 2, 5
Value = int | bytes


def fields(data: bytes) -> Iterator[tuple[int, Value]]:
    """(number, value): an int for varints, the raw bytes for everything else. Raises ValueError where it is cut."""
    at = 0
    while at < len(data):
        tag, at = _varint(data, at)
        number, kind = tag >> 3, tag & 7
        if kind == VARINT:
            value, at = _varint(data, at)
            yield number, value
            continue
        if kind == BYTES:
            size, at = _varint(data, at)
        elif kind in (FIXED64, FIXED32):
            size = 8 if kind == FIXED64 else 4
        else:
            raise ValueError(f"field {number} has wire type {kind}")
        if at + size > len(data):
            raise ValueError(f"field {number} is cut short")
        yield number, data[at : at + size]
        at += size


def message(data: Value) -> dict[int, list[Value]]:
    """All fields of a message, each with its values in order."""
    found: dict[int, list[Value]] = {}
    for number, value in fields(as_bytes(data)):
        found.setdefault(number, []).append(value)
    return found


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


def _varint(data: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        if at >= len(data) or shift > 63:
            raise ValueError("a number is cut short")
        byte = data[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, at
        shift += 7
