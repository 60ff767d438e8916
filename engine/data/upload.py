"""Uploaded files, parsed chunk by chunk into records and bad lines."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from engine.data import lines
from engine.data.examples import Example
from engine.data.files import SUFFIXES, TEXT_SUFFIXES
from engine.data.lines import Kind, LineError, Record

EXCERPT_CHARS = 1000  # of a bad line, for the report
DOCUMENT_BYTES = 256 * 1024  # approximate size of the documents into which a long text is cut at line ends
# First bytes of files that are not text.
BINARY_SIGNATURES = {
    b"PK\x03\x04": "a ZIP archive", b"\x1f\x8b": "a gzip file", b"BZh": "a bzip2 file", b"\xfd7zXZ": "an xz file",
    b"\x28\xb5\x2f\xfd": "a zstd file", b"7z\xbc\xaf": "a 7z archive", b"Rar!": "a RAR archive", b"%PDF": "a PDF",
}  # fmt: skip
ARCHIVE = "Unpack the archive and upload the file inside it."
SUFFIX_HINTS = {
    ".json": "A JSON file is read as a whole; write one object on each line and name the file .jsonl.",
    ".csv": "Commas are not read; write .jsonl with one object on each line, or .tsv with tabs.",
    ".parquet": "Convert the table to .jsonl, one object on each line.",
    ".arrow": "Convert the table to .jsonl, one object on each line.",
    **dict.fromkeys((".zip", ".gz", ".bz2", ".xz", ".zst", ".7z", ".rar", ".tar", ".tgz"), ARCHIVE),
}  # fmt: skip
LONGEST_SIGNATURE = max(len(mark) for mark in BINARY_SIGNATURES)


class UnsupportedFile(ValueError):
    """The whole file is refused; the message gives the reason."""


@dataclass(frozen=True)
class BadLine:
    """A refused line: its number in the file, the reason, and its first characters."""

    number: int
    reason: str
    beginning: str


def check_suffix(file_name: str) -> str:
    """Return the suffix of a supported file, in lower case. Raises UnsupportedFile."""
    suffix = f".{file_name.rpartition('.')[2].lower()}"
    if suffix not in SUFFIXES or "." not in file_name:
        reason = SUFFIX_HINTS.get(suffix, "")
        raise UnsupportedFile(
            f"'{file_name[-60:]}' has none of the suffixes {', '.join(SUFFIXES)}. {reason}".strip()
        )
    return suffix


def parse_records(chunks: Iterable[bytes], suffix: str) -> Iterator[Record | BadLine]:
    """Yield the records and bad lines of a file in order. All records have the kind of the first.

    Raises UnsupportedFile.
    """
    numbered = _numbered_lines(chunks)
    if suffix in TEXT_SUFFIXES:
        yield from _split_documents(numbered)
        return
    kind: Kind | None = None
    for number, line, length in numbered:
        if not line.strip():
            continue
        try:
            found = lines.parse_line(_check_length(line, length), suffix)
            kind = kind or found.kind
            if found.kind != kind:
                raise LineError(f"it contains {found.kind}; the lines before contain {kind}")
            yield found
        except LineError as error:
            yield _bad_line(number, line, error)


def _split_documents(numbered: Iterable[tuple[int, bytes, int]]) -> Iterator[Record | BadLine]:
    """Yield a plain text as documents; lines that are not valid text become bad lines."""
    collected: list[str] = []
    size = 0
    for number, line, length in numbered:
        try:
            collected.append(_decode_line(_check_length(line, length)))
            size += length + 1
        except LineError as error:
            yield _bad_line(number, line, error)
        if size >= DOCUMENT_BYTES:
            yield from _build_document(collected)
            collected, size = [], 0
    yield from _build_document(collected)


def _build_document(collected: list[str]) -> Iterator[Record]:
    text = lines.normalise("\n".join(collected))
    if text:
        yield Record("text", Example(text, ""))


def _decode_line(line: bytes) -> str:
    try:
        text = line.decode()
    except UnicodeDecodeError as error:
        raise LineError(f"it is not UTF-8: byte {error.start + 1}, {error.reason}") from None
    if "\0" in text:
        raise LineError("it contains the character NUL")
    return text


def _check_length(line: bytes, length: int) -> bytes:
    if length > lines.LINE_BYTES_LIMIT:
        raise LineError(f"it has {length:,} bytes; the limit is {lines.LINE_BYTES_LIMIT:,}")
    return line


def _bad_line(number: int, line: bytes, error: LineError) -> BadLine:
    beginning = line[: EXCERPT_CHARS * 4].decode(errors="backslashreplace").replace("\0", "\\x00")
    # A reason may quote a field name of the line, which may contain any character.
    reason = str(error).encode(errors="backslashreplace").decode().replace("\0", "\\x00")
    return BadLine(number, reason, beginning[:EXCERPT_CHARS])


def _numbered_lines(chunks: Iterable[bytes]) -> Iterator[tuple[int, bytes, int]]:
    """Yield (number, line without newline, length in bytes).

    Of a line above the limit only the first bytes are kept, so memory is bounded by the limit of one line.
    Raises UnsupportedFile.
    """
    number, rest, dropped = 1, b"", 0
    for chunk in _check_encoding(chunks):
        *whole, last = chunk.split(b"\n")
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


def _check_encoding(chunks: Iterable[bytes]) -> Iterator[bytes]:
    """Yield the chunks without a byte order mark. Raises UnsupportedFile if the first bytes are not UTF-8 text."""
    rest, beginning = iter(chunks), b""
    while len(beginning) < LONGEST_SIGNATURE and (chunk := next(rest, b"")):
        beginning += chunk
    for mark, what in BINARY_SIGNATURES.items():
        if beginning.startswith(mark):
            raise UnsupportedFile(f"This is {what}, not a text. Unpack it and upload the text itself.")
    if beginning.startswith((b"\xff\xfe", b"\xfe\xff")):
        raise UnsupportedFile("This is UTF-16 text. Save it as UTF-8 and upload it again.")
    yield beginning.removeprefix(b"\xef\xbb\xbf")
    yield from rest
