"""Content of a data set in its table, as a sequence of compressed parts."""

from __future__ import annotations

from collections.abc import Iterator
from typing import BinaryIO

import zstandard

from jobs.models import Dataset, DatasetPart

PART_BYTES = 1024 * 1024  # of one row, before compression
LINES, REFUSED = "lines", "refused"


def write_parts(dataset: Dataset, role: str, file: BinaryIO) -> None:
    """Store the whole file, one short transaction per part, so that no other writer waits for the upload."""
    file.seek(0)
    compressor, number = zstandard.ZstdCompressor(level=3), 0
    while chunk := file.read(PART_BYTES):
        DatasetPart.objects.create(
            dataset=dataset, role=role, number=number, content=compressor.compress(chunk)
        )
        number += 1


def read_parts(dataset: Dataset, role: str = LINES) -> Iterator[bytes]:
    """The parts in order, with one in memory at a time."""
    decompressor = zstandard.ZstdDecompressor()
    numbers = list(dataset.parts.filter(role=role).order_by("number").values_list("number", flat=True))
    for number in numbers:
        content = dataset.parts.filter(role=role, number=number).values_list("content", flat=True).get()
        yield decompressor.decompress(bytes(content), max_output_size=PART_BYTES)


def read_lines(dataset: Dataset, role: str = LINES) -> Iterator[bytes]:
    rest = b""
    for chunk in read_parts(dataset, role):
        *whole, rest = (rest + chunk).split(b"\n")
        yield from whole
    if rest:
        yield rest
