"""Tensor files in the safetensors format: header length, JSON header, values.

Own code writes the files because the library copies all values before the first write and hides the reason of a
disk error. Own code reads them because numpy has no bf16. Tests compare both with the library.
Source: https://github.com/huggingface/safetensors, README, "Format".
"""

from __future__ import annotations

import json
import os
import struct
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

Array = np.ndarray[Any, Any]

HEADER_BYTES_LIMIT = 100_000_000  # limit of the format
# Name in the format -> numpy type that is read; bf16 is the upper half of fp32.
DTYPES = {"F64": "<f8", "F32": "<f4", "F16": "<f2", "BF16": "<u2", "I64": "<i8", "I32": "<i4", "U8": "|u1"}
NAMES = {np.dtype(kind): name for name, kind in DTYPES.items() if name != "BF16"}


class TensorFileError(ValueError):
    """The file is truncated or has another format; the message gives the reason."""


def write_tensors(path: Path, tensors: Mapping[str, Array], metadata: Mapping[str, str]) -> None:
    """Write the file and fsync it. Looks up each tensor twice and keeps none in memory. Raises OSError."""
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
        file.write(struct.pack("<Q", len(text)) + text)
        for values in tensors.values():
            file.write(np.ascontiguousarray(values).data)
        file.flush()
        os.fsync(file.fileno())


class TensorFile:
    """Tensors of a file by name; values are read on request."""

    def __init__(self, path: Path) -> None:
        """Raises TensorFileError, OSError."""
        self.path = path
        size_bytes = path.stat().st_size
        with open(path, "rb") as file:
            start = file.read(8)
            length = struct.unpack("<Q", start)[0] if len(start) == 8 else HEADER_BYTES_LIMIT + 1
            if length > min(HEADER_BYTES_LIMIT, size_bytes):
                raise TensorFileError(f"{path.name} is not a safetensors file.")
            try:
                header = json.loads(file.read(length))
                self.metadata: dict[str, str] = header.pop("__metadata__", {})
                end = max((entry["data_offsets"][1] for entry in header.values()), default=0)
            except (ValueError, TypeError, KeyError, AttributeError):
                raise TensorFileError(f"{path.name} has an invalid header.") from None
        self._entries, self._data = header, 8 + length
        if size_bytes < self._data + end:
            raise TensorFileError(f"{path.name} is truncated: {size_bytes:,} of {self._data + end:,} bytes.")

    def keys(self) -> list[str]:
        return list(self._entries)

    def shape(self, key: str) -> tuple[int, ...]:
        return tuple(self._entries[key]["shape"])

    def dtype(self, key: str) -> str:
        """Return the name of the number type in the format: F32, BF16, ..."""
        return str(self._entries[key]["dtype"])

    def read(self, key: str, start: int = 0, stop: int | None = None) -> Array:
        """Return elements start..stop of the flattened tensor, or the whole tensor in its shape.

        bf16 and fp16 are converted to fp32. Raises TensorFileError for an unsupported number type.
        """
        entry = self._entries[key]
        if entry["dtype"] not in DTYPES:
            raise TensorFileError(
                f"{self.path.name} has {key} in {entry['dtype']}; the supported types are {', '.join(DTYPES)}."
            )
        kind = np.dtype(DTYPES[entry["dtype"]])
        begin, end = entry["data_offsets"]
        count = (end - begin) // kind.itemsize
        last = count if stop is None else min(stop, count)
        at = self._data + begin + start * kind.itemsize
        values = np.fromfile(self.path, kind, max(0, last - start), offset=at)
        if entry["dtype"] == "BF16":
            values = (values.astype(np.uint32) << 16).view(np.float32)
        elif entry["dtype"] == "F16":
            values = values.astype(np.float32)
        return values.reshape(self.shape(key)) if start == 0 and last == count else values
