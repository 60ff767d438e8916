"""Checksums of checkpoint files: CRC-32, computed while a file is written."""

from __future__ import annotations

import json
import re
import zlib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

CHUNK_BYTES = 4 * 2**20
SIDECAR_SUFFIX = ".checksum"  # beside a rank's file until rank 0 copies its content into the manifest
PATTERN = re.compile(r"crc32:[0-9a-f]{8}")


def format_checksum(crc: int) -> str:
    return f"crc32:{crc:08x}"


def compute_file_checksum(path: Path, report_progress: Callable[[], None] = lambda: None) -> str:
    """Read a file and return its checksum; calls `report_progress` after every chunk. Raises OSError."""
    crc = 0
    with path.open("rb", buffering=0) as file:
        while chunk := file.read(CHUNK_BYTES):
            crc = zlib.crc32(chunk, crc)
            report_progress()
    return format_checksum(crc)


def compute_fields_checksum(fields: Mapping[str, Any]) -> str:
    """Return the checksum of JSON fields, independent of their order and of white space."""
    text = json.dumps(fields, sort_keys=True, separators=(",", ":"))
    return format_checksum(zlib.crc32(text.encode()))


def write_sidecar(path: Path, crc: int) -> None:
    """Keep the checksum of a file that was just written, until `take_checksum` reads it. Raises OSError."""
    path.with_name(path.name + SIDECAR_SUFFIX).write_text(format_checksum(crc))


def take_checksum(path: Path) -> str:
    """Return the checksum in the file's sidecar and delete that; without a sidecar compute it. Raises OSError."""
    sidecar = path.with_name(path.name + SIDECAR_SUFFIX)
    try:
        checksum = sidecar.read_text()
    except FileNotFoundError:
        return compute_file_checksum(path)
    sidecar.unlink()
    return checksum
