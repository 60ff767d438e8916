"""Lines of a file with their numbers, from chunks of any size."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator

# First bytes of files that are not text.
BINARY_SIGNATURES = {
    b"PK\x03\x04": "a ZIP archive", b"\x1f\x8b": "a gzip file", b"BZh": "a bzip2 file", b"\xfd7zXZ": "an xz file",
    b"\x28\xb5\x2f\xfd": "a zstd file", b"7z\xbc\xaf": "a 7z archive", b"Rar!": "a RAR archive", b"%PDF": "a PDF",
    b"PAR1": "a Parquet file",
}  # fmt: skip
LONGEST_SIGNATURE = max(len(mark) for mark in BINARY_SIGNATURES)


def iterate_lines(chunks: Iterable[bytes], limit: int) -> Iterator[tuple[int, bytes, int]]:
    """Yield (number, line without newline, length in bytes).

    Of a line above the limit only the first bytes are kept, so memory is bounded by the limit of one line.
    """
    number, rest, dropped = 1, b"", 0
    for chunk in chunks:
        *whole, last = chunk.split(b"\n")
        for line in whole:
            line = rest + line
            yield number, line.removesuffix(b"\r")[: limit + 1], len(line) + dropped
            number, rest, dropped = number + 1, b"", 0
        rest += last
        if len(rest) > limit + 1:
            dropped += len(rest) - limit - 1
            rest = rest[: limit + 1]
    if rest:
        yield number, rest.removesuffix(b"\r"), len(rest) + dropped


def check_encoding(chunks: Iterable[bytes], refusal: type[ValueError]) -> Iterator[bytes]:
    """Yield the chunks without a byte order mark. Raises `refusal` if the first bytes are not UTF-8 text."""
    rest, beginning = iter(chunks), b""
    while len(beginning) < LONGEST_SIGNATURE and (chunk := next(rest, b"")):
        beginning += chunk
    for mark, what in BINARY_SIGNATURES.items():
        if beginning.startswith(mark):
            raise refusal(f"This is {what}, not a text; its name does not say so. Name it by what it is.")
    if beginning.startswith((b"\xff\xfe", b"\xfe\xff")):
        raise refusal("This is UTF-16 text. Save it as UTF-8 and upload it again.")
    yield beginning.removeprefix(b"\xef\xbb\xbf")
    yield from rest


def look_ahead(chunks: Iterable[bytes], limit: int) -> tuple[bytes, Iterator[bytes]]:
    """Return the beginning of a file, at least its first line that is not blank, and all of its chunks."""
    rest, read = iter(chunks), list[bytes]()
    beginning = b""
    while len(beginning) <= limit and b"\n" not in beginning.lstrip():
        chunk = next(rest, None)
        if chunk is None:
            break
        read.append(chunk)
        beginning += chunk
    return beginning, itertools.chain(read, rest)
