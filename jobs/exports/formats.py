"""Tables as CSV, JSON, JSON Lines and Parquet files, in chunks.

Numbers are exact; values that are not finite are written by name.
"""

from __future__ import annotations

import csv
import io
import json
import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

from jobs.series import non_finite_name

Format = Literal["csv", "json", "jsonl", "parquet"]
CONTENT_TYPES: dict[Format, str] = {
    "csv": "text/csv; charset=utf-8",
    "json": "application/json",
    "jsonl": "application/x-ndjson",
    "parquet": "application/vnd.apache.parquet",
}
Block = Sequence[Sequence[Any]]  # columns of equal length


@dataclass(frozen=True)
class ExportTable:
    """A name, columns with their types (text, int, float, time), and rows in blocks."""

    name: str
    columns: dict[str, str]
    blocks: Iterable[Block]


class ParquetUnavailable(RuntimeError):
    """pyarrow is not installed; the message says how to install it."""


def write_table(table: ExportTable, form: Format) -> Iterator[bytes]:
    """The file in chunks. Raises ParquetUnavailable at the first chunk if pyarrow is not installed."""
    return WRITERS[form](table)


def _write_csv(table: ExportTable) -> Iterator[bytes]:
    yield _csv_lines([list(table.columns)])
    is_text = [kind == "text" for kind in table.columns.values()]
    for block in table.blocks:
        cells = [
            [_escape_formula(value) for value in column] if text else [_to_plain(value) for value in column]
            for column, text in zip(block, is_text, strict=True)
        ]
        yield _csv_lines(zip(*cells, strict=True))


def _csv_lines(rows: Iterable[Iterable[Any]]) -> bytes:
    text = io.StringIO(newline="")
    csv.writer(text).writerows(rows)
    return text.getvalue().encode()


def _escape_formula(value: Any) -> Any:
    """Prefix an apostrophe to a text that a spreadsheet would run as a formula."""
    return (
        f"'{value}"
        if isinstance(value, str) and value.startswith(("=", "+", "-", "@", "\t", "\r"))
        else value
    )


def _to_plain(value: Any) -> Any:
    if isinstance(value, datetime):
        return value.isoformat()
    if isinstance(value, float) and not math.isfinite(value):
        return non_finite_name(value)
    return value


def _write_json(table: ExportTable) -> Iterator[bytes]:
    """One list, with one row per line."""
    before = "[\n"
    for block in table.blocks:
        if rows := _json_rows(table, block):
            yield (before + ",\n".join(rows)).encode()
            before = ",\n"
    yield b"[]\n" if before == "[\n" else b"\n]\n"


def _write_jsonl(table: ExportTable) -> Iterator[bytes]:
    for block in table.blocks:
        yield "".join(f"{row}\n" for row in _json_rows(table, block)).encode()


def _json_rows(table: ExportTable, block: Block) -> list[str]:
    cells = [[_to_plain(value) for value in column] for column in block]
    return [json.dumps(dict(zip(table.columns, row, strict=True))) for row in zip(*cells, strict=True)]


def _write_parquet(table: ExportTable) -> Iterator[bytes]:
    try:
        import pyarrow as pa
        from pyarrow import parquet
    except ImportError:
        raise ParquetUnavailable(
            "Parquet needs pyarrow, which is not installed here: pip install 'fourwalls[parquet]'."
        ) from None
    types = {
        "text": pa.string(),
        "int": pa.int64(),
        "float": pa.float64(),
        "time": pa.timestamp("us", tz="UTC"),
    }
    schema = pa.schema([(name, types[kind]) for name, kind in table.columns.items()])
    sink = _ChunkSink()
    with parquet.ParquetWriter(sink, schema, compression="zstd") as writer:
        for block in table.blocks:
            arrays = [pa.array(column, field.type) for column, field in zip(block, schema, strict=True)]
            writer.write_table(pa.Table.from_arrays(arrays, schema=schema))
            if data := sink.take_chunks():
                yield data
    yield sink.take_chunks()


class _ChunkSink(io.RawIOBase):
    """A write-only file whose content is taken in chunks; it still knows its position, for Parquet's footer."""

    def __init__(self) -> None:
        self.chunks: list[bytes] = []
        self.size = 0

    def writable(self) -> bool:
        return True

    def write(self, data: Any) -> int:
        self.chunks.append(bytes(data))
        self.size += len(self.chunks[-1])
        return len(self.chunks[-1])

    def tell(self) -> int:
        return self.size

    def take_chunks(self) -> bytes:
        data = b"".join(self.chunks)
        self.chunks.clear()
        return data


WRITERS: dict[Format, Callable[[ExportTable], Iterator[bytes]]] = {
    "csv": _write_csv,
    "json": _write_json,
    "jsonl": _write_jsonl,
    "parquet": _write_parquet,
}
FORMATS = tuple(WRITERS)
