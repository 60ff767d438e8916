"""A file as somebody sends it, piece by piece: its good records in normal form, and each bad line with its number."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from engine.data import lines
from engine.data.examples import Example
from engine.data.files import SUFFIXES, TEXT_SUFFIXES
from engine.data.lines import Kind, LineError, Record

BEGINNING_CHARS = 1000  # of a bad line, for the report
DOCUMENT_BYTES = 256 * 1024  # a long text is cut at line ends into documents of about this size
# How files begin that hold something else than text.
PACKED = {
    b"PK\x03\x04": "a ZIP archive", b"\x1f\x8b": "a gzip file", b"BZh": "a bzip2 file", b"\xfd7zXZ": "an xz file",
    b"\x28\xb5\x2f\xfd": "a zstd file", b"7z\xbc\xaf": "a 7z archive", b"Rar!": "a RAR archive", b"%PDF": "a PDF",
}  # fmt: skip
LONGEST_MARK = max(len(mark) for mark in PACKED)


class NotAText(ValueError):
    """The file as a whole cannot be taken; the message says why."""


@dataclass(frozen=True)
class Bad:
    """A line that cannot be used: its number in the file, why, and how it begins."""

    number: int
    reason: str
    beginning: str


def suffix_of(file_name: str) -> str:
    """Of a file that can be taken. Raises NotAText."""
    suffix = f".{file_name.rpartition('.')[2].lower()}"
    if suffix not in SUFFIXES or "." not in file_name:
        raise NotAText(
            f"'{file_name[-60:]}' is none of {', '.join(SUFFIXES)}. Archives are not taken: unpack first."
        )
    return suffix


def records(pieces: Iterable[bytes], suffix: str) -> Iterator[Record | Bad]:
    """What the file holds, in its order. All records are of the kind of the first. Raises NotAText."""
    numbered = _lines(pieces)
    if suffix in TEXT_SUFFIXES:
        yield from _documents(numbered)
        return
    kind: Kind | None = None
    for number, line, length in numbered:
        if not line.strip():
            continue
        try:
            found = lines.parse(_whole(line, length), suffix)
            kind = kind or found.kind
            if found.kind != kind:
                raise LineError(f"it holds {found.kind}; the lines before hold {kind}")
            yield found
        except LineError as error:
            yield _bad(number, line, error)


def _documents(numbered: Iterable[tuple[int, bytes, int]]) -> Iterator[Record | Bad]:
    """A plain text as documents; a line that is no text is left out and reported."""
    gathered: list[str] = []
    size = 0
    for number, line, length in numbered:
        try:
            gathered.append(_text(_whole(line, length)))
            size += length + 1
        except LineError as error:
            yield _bad(number, line, error)
        if size >= DOCUMENT_BYTES:
            yield from _document(gathered)
            gathered, size = [], 0
    yield from _document(gathered)


def _document(gathered: list[str]) -> Iterator[Record]:
    text = lines.normalised("\n".join(gathered))
    if text:
        yield Record("text", Example(text, ""))


def _text(line: bytes) -> str:
    try:
        text = line.decode()
    except UnicodeDecodeError as error:
        raise LineError(f"it is not UTF-8: byte {error.start + 1}, {error.reason}") from None
    if "\0" in text:
        raise LineError("it holds the character NUL")
    return text


def _whole(line: bytes, length: int) -> bytes:
    if length > lines.LINE_BYTES_LIMIT:
        raise LineError(f"it has {length:,} bytes; a line may have {lines.LINE_BYTES_LIMIT:,}")
    return line


def _bad(number: int, line: bytes, error: LineError) -> Bad:
    beginning = line[: BEGINNING_CHARS * 4].decode(errors="backslashreplace").replace("\0", "\\x00")
    # A reason may name a field of the line, in which anything can stand.
    reason = str(error).encode(errors="backslashreplace").decode().replace("\0", "\\x00")
    return Bad(number, reason, beginning[:BEGINNING_CHARS])


def _lines(pieces: Iterable[bytes]) -> Iterator[tuple[int, bytes, int]]:
    """(number, line, its length) without newlines. Of a line above the limit only the beginning is kept, so no file
    takes more memory than a line may have. Raises NotAText."""
    number, rest, dropped = 1, b"", 0
    for piece in _opened(pieces):
        *whole, last = piece.split(b"\n")
        for line in whole:
            line = rest + line
            yield number, line.removesuffix(b"\r")[: lines.LINE_BYTES_LIMIT + 1], len(line) + dropped
            number, rest, dropped = number + 1, b"", 0
        rest += last
        if len(rest) > lines.LINE_BYTES_LIMIT + 1:
            dropped += len(rest) - lines.LINE_BYTES_LIMIT - 1
            rest = rest[: lines.LINE_BYTES_LIMIT + 1]
    if rest:
        yield number, rest, len(rest) + dropped


def _opened(pieces: Iterable[bytes]) -> Iterator[bytes]:
    """The pieces without a byte order mark. Raises NotAText by how the file begins."""
    rest, beginning = iter(pieces), b""
    while len(beginning) < LONGEST_MARK and (piece := next(rest, b"")):
        beginning += piece
    for mark, what in PACKED.items():
        if beginning.startswith(mark):
            raise NotAText(f"This is {what}, not a text. Unpack it and send the text itself.")
    if beginning.startswith((b"\xff\xfe", b"\xfe\xff")):
        raise NotAText("This is UTF-16 text. Save it as UTF-8 and send that.")
    yield beginning.removeprefix(b"\xef\xbb\xbf")
    yield from rest
