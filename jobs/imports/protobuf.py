"""Protocol buffer wire format, decoded without a schema.

Source: protobuf.dev, "Encoding".
"""

from __future__ import annotations

import struct
from collections.abc import Iterator

VARINT, FIXED64, BYTES, FIXED32 = 0, 1, 2, 5
MESSAGE_FIELDS = 100_000  # fields of one message: bounds the memory of a hostile one
Value = int | bytes
Message = dict[int, list[Value]]


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


def parse_message(data: Value) -> Message:
    """All fields of a message: number -> values in order. Raises ValueError."""
    fields: Message = {}
    for count, (number, value) in enumerate(iter_fields(as_bytes(data))):
        if count >= MESSAGE_FIELDS:
            raise ValueError(f"a message has more than {MESSAGE_FIELDS:,} fields")
        fields.setdefault(number, []).append(value)
    return fields


def as_bytes(value: Value) -> bytes:
    if isinstance(value, int):
        raise ValueError("a number where bytes belong")
    return value


def as_text(value: Value) -> str:
    return as_bytes(value).decode("utf-8", "replace")


def as_double(value: Value) -> float:
    return _unpack("<d", value)


def as_float(value: Value) -> float:
    return _unpack("<f", value)


def as_int64(value: Value) -> int:
    if isinstance(value, bytes):
        raise ValueError("bytes where a number belongs")
    value &= (1 << 64) - 1
    return value - (1 << 64) if value >= 1 << 63 else value


def as_sint64(value: Value) -> int:
    """A number in zigzag encoding."""
    whole = as_int64(value) & ((1 << 64) - 1)
    return (whole >> 1) ^ -(whole & 1)


def first_packed(value: Value) -> int:
    """The first number of a repeated field of varints, packed or not. Raises ValueError."""
    return as_int64(value if isinstance(value, int) else _read_varint(value, 0)[0])


def last_text(message: Message, number: int) -> str:
    return as_text(message[number][-1]) if number in message else ""


def _unpack(form: str, value: Value) -> float:
    raw = as_bytes(value)
    if len(raw) != struct.calcsize(form):
        raise ValueError(f"{len(raw)} bytes where {struct.calcsize(form)} belong")
    return struct.unpack(form, raw)[0]


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
