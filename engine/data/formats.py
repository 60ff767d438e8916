"""Formats of data files: suffix, compression, fields of each record in order."""

from __future__ import annotations

import csv
import gzip
import io
import itertools
import tempfile
import zlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any, BinaryIO, cast

import zstandard

from engine.data import lines
from engine.data.json_values import has_whole_first_line, iterate_values
from engine.data.numbered_lines import check_encoding, iterate_lines, look_ahead
from engine.data.texts import LineError

TEXT_SUFFIXES = (".txt", ".text", ".md", ".rst")
RECORD_SUFFIXES = (".jsonl", ".ndjson", ".json", ".csv", ".tsv", ".parquet")
SUFFIXES = TEXT_SUFFIXES + RECORD_SUFFIXES
COMPRESSIONS = (".gz", ".zst")
CHUNK_BYTES = 1 << 20
DELIMITERS = ",;\t|"
PARQUET_ROWS = 64  # read at a time
csv.field_size_limit(lines.LINE_BYTES_LIMIT)


class UnsupportedFile(ValueError):
    """The whole file is refused; the message gives the reason."""


@dataclass(frozen=True)
class RawRecord:
    """Fields of one record with its line (of a Parquet file: its row), or the reason why it has none."""

    number: int
    values: dict[str, Any] | None
    beginning: bytes
    error: str = ""


def split_suffix(name: str) -> tuple[str, str]:
    """Return the suffix of a file name and that of its compression, in lower case; '' for none."""
    stem, dot, last = name.lower().rpartition(".")
    if f".{last}" not in COMPRESSIONS:
        return f".{last}" if dot else "", ""
    stem, dot, before = stem.rpartition(".")
    return f".{before}" if dot else "", f".{last}"


def decompress(chunks: Iterable[bytes], compression: str, limit: int | None = None) -> Iterator[bytes]:
    """Yield the content of a compressed file, at most `limit` bytes of it. Raises UnsupportedFile."""
    if not compression:
        yield from chunks
        return
    title = "gzip" if compression == ".gz" else "zstd"
    source = cast(BinaryIO, io.BufferedReader(_ChunkReader(chunks), CHUNK_BYTES))
    total = 0
    try:
        file: Any = (
            gzip.GzipFile(fileobj=source)
            if compression == ".gz"
            else zstandard.ZstdDecompressor(max_window_size=2**27).stream_reader(
                source, read_across_frames=True
            )
        )
        while chunk := file.read(CHUNK_BYTES):
            total += len(chunk)
            if limit is not None and total > limit:
                raise UnsupportedFile(f"Its content has more than the limit of {limit:,} bytes.")
            yield chunk
    except (gzip.BadGzipFile, zlib.error, zstandard.ZstdError):
        raise UnsupportedFile(f"The file is no {title} file, or it is damaged.") from None
    except EOFError:
        raise UnsupportedFile(f"The {title} file ends too early; a part of it is missing.") from None


def iterate_raw(chunks: Iterable[bytes], suffix: str) -> Iterator[RawRecord]:
    """Yield all records of a file of the suffix, in order. Raises UnsupportedFile."""
    if suffix == ".parquet":
        yield from _parquet_rows(chunks)
        return
    encoded = check_encoding(chunks, UnsupportedFile)
    if suffix == ".csv":
        yield from _csv_rows(encoded)
    elif suffix == ".json":
        beginning, encoded = look_ahead(encoded, lines.LINE_BYTES_LIMIT)
        whole = has_whole_first_line(beginning)
        yield from _read_lines(encoded, ".jsonl") if whole else _json_values(encoded)
    else:
        yield from _read_lines(encoded, suffix)


def _read_lines(chunks: Iterable[bytes], suffix: str) -> Iterator[RawRecord]:
    names: list[str] = []
    for number, line, length in iterate_lines(chunks, lines.LINE_BYTES_LIMIT):
        if not line.strip():
            continue
        if suffix == ".tsv" and number == 1 and (names := _header(line)):
            continue
        try:
            _check_length(length)
            values = lines.read_line(line, suffix)
            yield RawRecord(number, _name_columns(values, names) if names else values, line)
        except LineError as error:
            yield RawRecord(number, None, line, str(error))


def _header(line: bytes) -> list[str]:
    """Return the columns that the first line of a table names; [] if it is a record itself."""
    columns = [column.strip().lower() for column in line.decode(errors="replace").split("\t")]
    known = any(set(fields) <= set(columns) for fields in lines.FIELDS if len(fields) > 1)
    return columns if known else []


def _name_columns(values: dict[str, Any], names: list[str]) -> dict[str, Any]:
    cells = list(values.values())
    if len(cells) != len(names):
        raise LineError(f"it has {len(cells)} columns; the first line names {len(names)}")
    return dict(zip(names, cells, strict=True))


def _json_values(chunks: Iterable[bytes]) -> Iterator[RawRecord]:
    for found in iterate_values(chunks, lines.LINE_BYTES_LIMIT):
        try:
            if found.error:
                raise LineError(found.error)
            _check_length(found.length)
            yield RawRecord(found.number, lines.read_line(found.content, ".jsonl"), found.content)
        except LineError as error:
            yield RawRecord(found.number, None, found.content, str(error))


class _CsvLines:
    """Lines of a CSV file for the reader, with the number of the newest and what is wrong with those read."""

    def __init__(self, chunks: Iterable[bytes]) -> None:
        self._lines = iterate_lines(chunks, lines.LINE_BYTES_LIMIT)
        self.number, self.error, self.content = 0, "", b""

    def __iter__(self) -> Iterator[str]:
        return self

    def __next__(self) -> str:
        self.number, line, length = next(self._lines)
        if len(self.content) <= lines.LINE_BYTES_LIMIT:
            self.content += line + b"\n"
        try:
            _check_length(length)
            return line.decode() + "\n"
        except LineError as error:
            self.error = str(error)
        except UnicodeDecodeError as error:
            self.error = f"it is not UTF-8: byte {error.start + 1}, {error.reason}"
        return "\n"

    def take(self) -> tuple[str, bytes]:
        """Return what is wrong with the lines read since the last call, and their content."""
        found = self.error, self.content
        self.error, self.content = "", b""
        return found


def _csv_rows(chunks: Iterable[bytes]) -> Iterator[RawRecord]:
    """Yield rows of a table whose first line names its columns. A cell in quotes may hold newlines."""
    beginning, chunks = look_ahead(chunks, lines.LINE_BYTES_LIMIT)
    first = beginning.lstrip(b"\r\n").partition(b"\n")[0].decode(errors="replace")
    delimiter = max(DELIMITERS, key=first.count)
    source = _CsvLines(chunks)
    reader = csv.reader(source, delimiter=delimiter, strict=True)
    names: list[str] = []
    while True:
        start = source.number + 1
        error, cells = "", []
        try:
            cells = next(reader)
        except StopIteration:
            return
        except csv.Error as broken:
            error = _csv_reason(str(broken))
        damage, content = source.take()
        if not cells and not error and not damage:
            continue
        if names:
            yield _csv_record(start, names, cells, error or damage, content)
        elif error or damage:
            raise UnsupportedFile(
                f"Line {start}, which names the columns, cannot be read: {error or damage}."
            )
        else:
            names = _column_names(cells)


def _csv_record(number: int, names: list[str], cells: list[str], error: str, content: bytes) -> RawRecord:
    if not error and len(cells) != len(names):
        error = f"it has {len(cells)} cells; the first line names {len(names)} columns"
    if error:
        return RawRecord(number, None, content, error)
    return RawRecord(number, dict(zip(names, cells, strict=True)), content)


def _column_names(cells: list[str]) -> list[str]:
    """Raises UnsupportedFile if a name occurs twice."""
    names = [cell.strip() or f"column {number}" for number, cell in enumerate(cells, 1)]
    if len(set(names)) < len(names):
        raise UnsupportedFile("The first line names a column twice.")
    lowered = {name.lower(): name for name in names}
    return [name.lower() if len(lowered) == len(names) else name for name in names]


def _csv_reason(message: str) -> str:
    if "field larger" in message:
        return f"a cell has more than {lines.LINE_BYTES_LIMIT:,} characters, or a quote is not closed"
    if "unexpected end" in message:
        return "a quote is opened and not closed"
    return "its quotes are not those of CSV: a quote within a cell in quotes is written twice"


def _parquet_rows(chunks: Iterable[bytes]) -> Iterator[RawRecord]:
    try:
        from pyarrow import ArrowException, parquet
    except ImportError:
        raise UnsupportedFile(
            "Parquet files need the package pyarrow on this server; upload .jsonl instead."
        ) from None
    with tempfile.TemporaryFile() as file:
        for chunk in chunks:
            file.write(chunk)
        file.seek(0)
        try:
            batches = parquet.ParquetFile(file).iter_batches(batch_size=PARQUET_ROWS)
            rows = itertools.chain.from_iterable(batch.to_pylist() for batch in batches)
            for number, values in enumerate(rows, 1):
                size = len(repr(values))
                error = f"it has {size:,} characters" if size > lines.LINE_BYTES_LIMIT else ""
                beginning = repr(values)[:4000].encode(errors="backslashreplace")
                yield RawRecord(number, None if error else values, beginning, error)
        except (ArrowException, OSError) as broken:
            reason = str(broken).partition("\n")[0][:200]
            raise UnsupportedFile(f"The Parquet file cannot be read: {reason}") from None


def _check_length(length: int) -> None:
    if length > lines.LINE_BYTES_LIMIT:
        raise LineError(f"it has {length:,} bytes; the limit is {lines.LINE_BYTES_LIMIT:,}")


class _ChunkReader(io.RawIOBase):
    """Chunks as a file to read from."""

    def __init__(self, chunks: Iterable[bytes]) -> None:
        self._chunks, self._rest = iter(chunks), b""

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        while not self._rest:
            try:
                self._rest = next(self._chunks)
            except StopIteration:
                return 0
        size = min(len(buffer), len(self._rest))
        buffer[:size], self._rest = self._rest[:size], self._rest[size:]
        return size
