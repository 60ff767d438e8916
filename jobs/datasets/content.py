"""The bytes of a data set in its table: compressed parts, one after another."""

from __future__ import annotations

from collections.abc import Iterator
from typing import BinaryIO

import zstandard

from jobs.models import Dataset, DatasetPart

PART_BYTES = 1024 * 1024  # before compression: one row is read and written at once
LINES, REFUSED = "lines", "refused"


def write(dataset: Dataset, role: str, file: BinaryIO) -> None:
    """All of the file, from its beginning. Each part is a short transaction: nobody waits for a whole upload."""
    file.seek(0)
    packer, number = zstandard.ZstdCompressor(level=3), 0
    while piece := file.read(PART_BYTES):
        DatasetPart.objects.create(dataset=dataset, role=role, number=number, content=packer.compress(piece))
        number += 1


def read(dataset: Dataset, role: str = LINES) -> Iterator[bytes]:
    """The parts in their order, one in memory at a time."""
    unpacker = zstandard.ZstdDecompressor()
    numbers = list(dataset.parts.filter(role=role).order_by("number").values_list("number", flat=True))
    for number in numbers:
        content = dataset.parts.filter(role=role, number=number).values_list("content", flat=True).get()
        yield unpacker.decompress(bytes(content), max_output_size=PART_BYTES)


def lines(dataset: Dataset, role: str = LINES) -> Iterator[bytes]:
    rest = b""
    for piece in read(dataset, role):
        *whole, rest = (rest + piece).split(b"\n")
        yield from whole
    if rest:
        yield rest
