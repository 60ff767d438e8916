"""Tensor files in the safetensors format: header length, JSON header, values.

Own code writes the files because the library copies all values before the first write and hides the reason of a
disk error. Own code reads them because numpy has no bf16. Tests compare both with the library.
Source: https://github.com/huggingface/safetensors, README, "Format".
"""

from __future__ import annotations

import json
import math
import os
import struct
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import msgspec
import numpy as np

Array = np.ndarray[Any, Any]

HEADER_BYTES_LIMIT = 100_000_000  # limit of the format
# Name in the format -> numpy type that is read; bf16 is the upper half of fp32.
DTYPES = {"F64": "<f8", "F32": "<f4", "F16": "<f2", "BF16": "<u2", "I64": "<i8", "I32": "<i4", "U8": "|u1"}
# Bits per value of all types of the format (safetensors 0.8). Those not in DTYPES are refused only when read.
BITS = {
    "BOOL": 8, "U8": 8, "I8": 8, "F8_E4M3": 8, "F8_E5M2": 8, "F8_E8M0": 8, "F8_E4M3FNUZ": 8, "F8_E5M2FNUZ": 8,
    "I16": 16, "U16": 16, "F16": 16, "BF16": 16, "I32": 32, "U32": 32, "F32": 32, "I64": 64, "U64": 64, "F64": 64,
    "C64": 64, "F4": 4, "F6_E2M3": 6, "F6_E3M2": 6,
}  # fmt: skip
LENGTH_BYTES = 8
MAX_DIMENSIONS = 64  # as in torch; bounds the cost of a size
SHOWN_SIZES = 8  # of a shape in a message
TEXT_CHARACTERS = 200  # of a name or reason in a message
NAMES = {np.dtype(kind): name for name, kind in DTYPES.items() if name != "BF16"}


class TensorFileError(ValueError):
    """The file is truncated or has another format; the message gives the reason."""


def write_tensors(path: Path, tensors: Mapping[str, Array], metadata: Mapping[str, str]) -> int:
    """Write the file, fsync it and return its CRC-32. Looks up each tensor twice, keeps none. Raises OSError."""
    header: dict[str, Any] = {"__metadata__": dict(metadata)}
    at = 0
    for key, values in tensors.items():
        header[key] = {
            "dtype": NAMES[values.dtype],
            "shape": list(values.shape),
            "data_offsets": [at, at + values.nbytes],
        }
        at += values.nbytes
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    with open(path, "wb") as file:
        start = struct.pack("<Q", len(text)) + text
        file.write(start)
        crc = zlib.crc32(start)
        for values in tensors.values():
            data = np.ascontiguousarray(values).data
            file.write(data)
            crc = zlib.crc32(data, crc)
        file.flush()
        os.fsync(file.fileno())
    return crc


Size = Annotated[int, msgspec.Meta(ge=0, le=2**63 - 1)]


class _Entry(msgspec.Struct, frozen=True):
    """Header entry of one tensor."""

    dtype: str
    shape: Annotated[tuple[Size, ...], msgspec.Meta(max_length=MAX_DIMENSIONS)]
    data_offsets: tuple[Size, Size]


@dataclass(frozen=True)
class _Header:
    entries: dict[str, _Entry]
    metadata: dict[str, str]
    data_bytes: int  # of all tensors together


def _read_header(path: Path, size_bytes: int) -> tuple[_Header, int]:
    """Return the header and the offset of the data. Raises TensorFileError, OSError."""
    with path.open("rb") as file:
        start = file.read(LENGTH_BYTES)
        length = struct.unpack("<Q", start)[0] if len(start) == LENGTH_BYTES else 0
        if not 2 <= length <= min(HEADER_BYTES_LIMIT, size_bytes - LENGTH_BYTES):
            raise TensorFileError(f"{path.name} is not a safetensors file.")
        text = file.read(length)
    try:
        values = json.loads(text.decode(), object_pairs_hook=_unique_names)
        return _parse_header(values), LENGTH_BYTES + length
    except (ValueError, RecursionError) as error:
        reasons = {UnicodeDecodeError: "it is not UTF-8", RecursionError: "it is nested too deeply"}
        reason = reasons.get(type(error)) or _printable(str(error))
        raise TensorFileError(f"{path.name} has an invalid header: {reason}.") from None


def _parse_header(values: Any) -> _Header:
    """Check types and ranges of all entries: the tensors fill the data without gaps and overlaps. Raises ValueError."""
    if not isinstance(values, dict):
        raise ValueError("it is not a JSON object")
    metadata = msgspec.convert(values.pop("__metadata__", None), dict[str, str] | None) or {}
    entries: dict[str, _Entry] = {}
    for name, value in values.items():
        try:
            name.encode()  # half a surrogate pair is no text
            entries[name] = msgspec.convert(value, _Entry)
        except msgspec.ValidationError as error:
            raise ValueError(f"{_printable(name)}: {error}") from None
    at = 0
    for name, entry in sorted(entries.items(), key=lambda item: item[1].data_offsets):
        begin, end = entry.data_offsets
        if begin != at or end < begin:
            raise ValueError(f"the bytes of {_printable(name)} do not follow those of the tensor before it")
        bits = BITS.get(entry.dtype)
        if bits is None:
            raise ValueError(
                f"{_printable(name)} has the number type {_printable(entry.dtype)}, which is none"
            )
        if math.prod(entry.shape) * bits != 8 * (end - begin):
            sizes = " x ".join(map(str, entry.shape[:SHOWN_SIZES])) or "one value"
            raise ValueError(
                f"{_printable(name)} has {end - begin:,} bytes, which do not fit {sizes} in {entry.dtype}"
            )
        at = end
    return _Header(entries, metadata, at)


def _unique_names(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    values = dict(pairs)
    if len(values) < len(pairs):
        raise ValueError("a name occurs twice")
    return values


def _printable(text: str) -> str:
    """Return text from a file on one line of bounded length, without control characters and half surrogate pairs."""
    return ascii(text[:TEXT_CHARACTERS]).strip("'\"") + ("..." if len(text) > TEXT_CHARACTERS else "")


class TensorFile:
    """Tensors of a file by name; values are read on request."""

    def __init__(self, path: Path) -> None:
        """Read and check the header. Raises TensorFileError, OSError."""
        self.path = path
        size_bytes = path.stat().st_size
        header, self._data = _read_header(path, size_bytes)
        self.metadata: dict[str, str] = header.metadata
        self._entries = header.entries
        end = self._data + header.data_bytes
        if size_bytes < end:
            raise TensorFileError(f"{path.name} is truncated: {size_bytes:,} of {end:,} bytes.")
        if size_bytes > end:
            raise TensorFileError(f"{path.name} has {size_bytes - end:,} bytes that belong to no tensor.")

    def keys(self) -> list[str]:
        return list(self._entries)

    def shape(self, key: str) -> tuple[int, ...]:
        return tuple(self._entries[key].shape)

    def dtype(self, key: str) -> str:
        """Return the name of the number type in the format: F32, BF16, ..."""
        return self._entries[key].dtype

    def read(self, key: str, start: int = 0, stop: int | None = None) -> Array:
        """Return elements start..stop of the flattened tensor, or the whole tensor in its shape.

        bf16 and fp16 are converted to fp32. Raises TensorFileError for an unsupported number type.
        """
        entry = self._entries[key]
        if entry.dtype not in DTYPES:
            raise TensorFileError(
                f"{self.path.name} has {key} in {entry.dtype}; the supported types are {', '.join(DTYPES)}."
            )
        kind = np.dtype(DTYPES[entry.dtype])
        begin, end = entry.data_offsets
        count = (end - begin) // kind.itemsize
        last = count if stop is None else min(stop, count)
        at = self._data + begin + start * kind.itemsize
        values = np.fromfile(self.path, kind, max(0, last - start), offset=at)
        if len(values) != max(0, last - start):  # the file has become shorter since its header was read
            raise TensorFileError(f"{self.path.name} is truncated: it ends within {key}.")
        if entry.dtype == "BF16":
            values = (values.astype(np.uint32) << 16).view(np.float32)
        elif entry.dtype == "F16":
            values = values.astype(np.float32)
        return values.reshape(self.shape(key)) if start == 0 and last == count else values
