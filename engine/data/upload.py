"""Uploaded files, parsed chunk by chunk into records and bad lines."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from engine.data import formats, lines
from engine.data.examples import Example
from engine.data.formats import COMPRESSIONS, SUFFIXES, TEXT_SUFFIXES, UnsupportedFile
from engine.data.lines import Kind, Record
from engine.data.numbered_lines import check_encoding, iterate_lines
from engine.data.texts import LineError

__all__ = ["UnsupportedFile"]

EXCERPT_CHARS = 1000  # of a bad line, for the report
DOCUMENT_BYTES = 256 * 1024  # approximate size of the documents into which a long text is cut at line ends
ARCHIVE = "Unpack the archive and upload the file inside it."
SUFFIX_HINTS = {
    ".arrow": "Convert the table to .parquet or .jsonl.",
    **dict.fromkeys((".xls", ".xlsx", ".ods"), "Save the table as .csv."),
    **dict.fromkeys((".zip", ".bz2", ".xz", ".7z", ".rar", ".tar", ".tgz"), ARCHIVE),
}  # fmt: skip


@dataclass(frozen=True)
class BadLine:
    """A refused line: its number in the file, the reason, and its first characters."""

    number: int
    reason: str
    beginning: str


def check_suffix(file_name: str) -> tuple[str, str]:
    """Return the suffix of a supported file and of its compression, in lower case. Raises UnsupportedFile."""
    suffix, compression = formats.split_suffix(file_name)
    if suffix not in SUFFIXES:
        reason = SUFFIX_HINTS.get(suffix, "")
        raise UnsupportedFile(
            f"'{file_name[-60:]}' has none of the suffixes {', '.join(SUFFIXES)}, alone or before "
            f"{' or '.join(COMPRESSIONS)}. {reason}".strip()
        )
    return suffix, compression


def parse_records(
    chunks: Iterable[bytes], suffix: str, columns: Mapping[str, str] | None = None
) -> Iterator[Record | BadLine]:
    """Yield the records and bad lines of a file in order. All records have the kind of the first.

    `columns` has the field of the file for each name here. Raises UnsupportedFile.
    """
    if suffix in TEXT_SUFFIXES:
        encoded = check_encoding(chunks, UnsupportedFile)
        yield from _split_documents(iterate_lines(encoded, lines.LINE_BYTES_LIMIT))
        return
    kind: Kind | None = None
    for raw in formats.iterate_raw(chunks, suffix):
        try:
            if raw.values is None:
                raise LineError(raw.error)
            found = lines.parse_values(raw.values, columns)
            kind = kind or found.kind
            if found.kind != kind:
                raise LineError(f"it contains {found.kind}; the lines before contain {kind}")
            yield found
        except LineError as error:
            yield _bad_line(raw.number, raw.beginning, error)


def _split_documents(numbered: Iterable[tuple[int, bytes, int]]) -> Iterator[Record | BadLine]:
    """Yield a plain text as documents; lines that are not valid text become bad lines."""
    collected: list[str] = []
    size = 0
    for number, line, length in numbered:
        try:
            collected.append(_decode_line(line, length))
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


def _decode_line(line: bytes, length: int) -> str:
    if length > lines.LINE_BYTES_LIMIT:
        raise LineError(f"it has {length:,} bytes; the limit is {lines.LINE_BYTES_LIMIT:,}")
    try:
        text = line.decode()
    except UnicodeDecodeError as error:
        raise LineError(f"it is not UTF-8: byte {error.start + 1}, {error.reason}") from None
    if "\0" in text:
        raise LineError("it contains the character NUL")
    return text


def _bad_line(number: int, line: bytes, error: LineError) -> BadLine:
    beginning = line[: EXCERPT_CHARS * 4].decode(errors="backslashreplace").replace("\0", "\\x00")
    # A reason may quote a field name of the line, which may contain any character.
    reason = str(error).encode(errors="backslashreplace").decode().replace("\0", "\\x00")
    return BadLine(number, reason, beginning[:EXCERPT_CHARS])
