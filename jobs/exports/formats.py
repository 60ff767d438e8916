"""Tables as files, piece by piece: CSV, JSON, JSON lines, Parquet. Figures are exact; what is not finite is named."""

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
class Table:
    """A name, its columns with their types (text, int, float, time), and its rows, some at a time."""

    name: str
    columns: dict[str, str]
    blocks: Iterable[Block]


class NoParquet(RuntimeError):
    """pyarrow is not installed; the message says how it would be."""


def write(table: Table, form: Format) -> Iterator[bytes]:
    """The file, piece by piece. Raises NoParquet, at the first piece, where that cannot be written here."""
    return WRITERS[form](table)


def _csv(table: Table) -> Iterator[bytes]:
    yield _csv_lines([list(table.columns)])
    is_text = [kind == "text" for kind in table.columns.values()]
    for block in table.blocks:
        cells = [
            [_harmless(value) for value in column] if text else [_plain(value) for value in column]
            for column, text in zip(block, is_text, strict=True)
        ]
        yield _csv_lines(zip(*cells, strict=True))


def _csv_lines(rows: Iterable[Iterable[Any]]) -> bytes:
    text = io.StringIO(newline="")
    csv.writer(text).writerows(rows)
    return text.getvalue().encode()


def _harmless(value: Any) -> Any:
    """A spreadsheet takes what begins so for a formula, and would run it."""
    return (
        f"'{value}"
        if isinstance(value, str) and value.startswith(("=", "+", "-", "@", "\t", "\r"))
        else value
    )


def _plain(value: Any) -> Any:
    if isinstance(value, datetime):
        return value.isoformat()
    if isinstance(value, float) and not math.isfinite(value):
        return non_finite_name(value)
    return value


def _json(table: Table) -> Iterator[bytes]:
    """One list, a row a line."""
    before = "[\n"
    for block in table.blocks:
        if rows := _objects(table, block):
            yield (before + ",\n".join(rows)).encode()
            before = ",\n"
    yield b"[]\n" if before == "[\n" else b"\n]\n"


def _jsonl(table: Table) -> Iterator[bytes]:
    for block in table.blocks:
        yield "".join(f"{row}\n" for row in _objects(table, block)).encode()


def _objects(table: Table, block: Block) -> list[str]:
    cells = [[_plain(value) for value in column] for column in block]
    return [json.dumps(dict(zip(table.columns, row, strict=True))) for row in zip(*cells, strict=True)]


def _parquet(table: Table) -> Iterator[bytes]:
    try:
        import pyarrow as pa
        from pyarrow import parquet
    except ImportError:
        raise NoParquet(
            "Parquet needs pyarrow, which is not installed here: pip install 'fourwalls[parquet]'."
        ) from None
    types = {
        "text": pa.string(),
        "int": pa.int64(),
        "float": pa.float64(),
        "time": pa.timestamp("us", tz="UTC"),
    }
    schema = pa.schema([(name, types[kind]) for name, kind in table.columns.items()])
    sink = _Sink()
    with parquet.ParquetWriter(sink, schema, compression="zstd") as writer:
        for block in table.blocks:
            arrays = [pa.array(column, field.type) for column, field in zip(block, schema, strict=True)]
            writer.write_table(pa.Table.from_arrays(arrays, schema=schema))
            if data := sink.taken():
                yield data
    yield sink.taken()


class _Sink(io.RawIOBase):
    """Gives away what was written into it, and still knows how much that was: Parquet's footer names places."""

    def __init__(self) -> None:
        self.pieces: list[bytes] = []
        self.size = 0

    def writable(self) -> bool:
        return True

    def write(self, data: Any) -> int:
        self.pieces.append(bytes(data))
        self.size += len(self.pieces[-1])
        return len(self.pieces[-1])

    def tell(self) -> int:
        return self.size

    def taken(self) -> bytes:
        data = b"".join(self.pieces)
        self.pieces.clear()
        return data


WRITERS: dict[Format, Callable[[Table], Iterator[bytes]]] = {
    "csv": _csv,
    "json": _json,
    "jsonl": _jsonl,
    "parquet": _parquet,
}
FORMATS = tuple(WRITERS)
