"""The log of records in a .wandb file, split into blocks like LevelDB's log."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from jobs.imports.foreign import ImportProblems

MAGIC = b":W&B"
BLOCK_BYTES = 32 * 1024
HEADER_BYTES = 7  # CRC, length and type of a fragment; the file's own header is as long
FULL, FIRST, MIDDLE, LAST = 1, 2, 3, 4
RECORD_BYTES = 64 * 1024 * 1024


def read_records(path: Path, problems: ImportProblems) -> Iterator[bytes]:
    """The sound records. A truncated end belongs to a killed run and is skipped; a damaged block becomes a problem, and
    reading goes on with the first record of the next block."""
    try:
        with path.open("rb") as file:
            yield from _read_log(file, path, problems)
    except OSError as error:
        problems.add(path, f"cannot be read: {error.strerror}")


def _read_log(file: BinaryIO, path: Path, problems: ImportProblems) -> Iterator[bytes]:
    block = file.read(BLOCK_BYTES)
    if not block:
        problems.add(path, "is empty")
        return
    if block[:4] != MAGIC:
        problems.add(path, "is not a file of a W&B offline run")
        return
    start, offset = 0, HEADER_BYTES
    parts: list[bytes] = []  # of a record that began in an earlier fragment
    while block:
        for kind, body in _fragments(block, offset, start, path, problems):
            if kind not in (MIDDLE, LAST):
                parts = []
            if kind in (FULL, FIRST) or parts:
                parts.append(body)
            if sum(map(len, parts)) > RECORD_BYTES:
                problems.add(path, f"holds a record of more than {RECORD_BYTES:,} bytes, which is not read")
                parts = []
            if kind in (FULL, LAST) and parts:
                yield b"".join(parts)
                parts = []
        start, offset = start + len(block), 0
        block = file.read(BLOCK_BYTES)
        if block and not any(block):
            block = _skip_zeros(file, start, path, problems)
            start = file.tell() - len(block)
            parts = []


def _fragments(
    block: bytes, offset: int, start: int, path: Path, problems: ImportProblems
) -> Iterator[tuple[int, bytes]]:
    """(type, body) of the sound fragments of a block; type 0 in place of a damaged rest."""
    while offset + HEADER_BYTES <= len(block):
        crc, size, kind = struct.unpack_from("<IHB", block, offset)
        body = block[offset + HEADER_BYTES : offset + HEADER_BYTES + size]
        if len(body) < size and len(block) < BLOCK_BYTES:
            return  # the end of the file
        if (
            kind not in (FULL, FIRST, MIDDLE, LAST)
            or len(body) < size
            or zlib.crc32(bytes([kind]) + body) != crc
        ):
            zeros = ": zeros up to the end of the block" if not any(block[offset:]) else ""
            problems.add(
                path, f"is damaged at byte {start + offset}{zeros}; the rest of its block is passed over"
            )
            yield 0, b""
            return
        yield kind, body
        offset += HEADER_BYTES + size


def _skip_zeros(file: BinaryIO, start: int, path: Path, problems: ImportProblems) -> bytes:
    """The first block with data behind a run of zeros."""
    problems.add(path, f"holds zeros from byte {start} on")
    while (block := file.read(BLOCK_BYTES)) and not any(block):
        pass
    return block
