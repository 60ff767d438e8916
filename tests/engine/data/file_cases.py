"""Drawn data files of public shape, each with what a reader must find in it."""

from __future__ import annotations

import csv
import gzip
import io
import json
import random
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import zstandard

from engine.data.lines import LINE_BYTES_LIMIT

Values = dict[str, Any]


@dataclass
class FileCase:
    """A file, and by the oracle: the (source, target) of good records, and the lines of bad ones."""

    name: str
    content: bytes
    kind: str
    good: list[tuple[Any, Any]] = field(default_factory=list)
    bad: list[int] = field(default_factory=list)
    refused: str = ""  # part of the sentence that refuses the whole file


WORDS = [
    "house",
    "maison",
    "été",
    "日本",
    "naïve",
    "über",
    "солнце",
    "مرحبا",
    "a\u0301",
    "12,5",
    'say "x"',
    "tab",
    "😀",
]
SHAPES = ("text", "classes", "alpaca", "completion", "translation", "openai", "sharegpt", "dpo", "dpo_chats")
FORMATS = (
    "jsonl",
    "ndjson",
    "json_list",
    "json_pretty",
    "json_lines",
    "csv",
    "csv_semicolon",
    "tsv",
    "parquet",
)
FLAT = ("text", "classes", "alpaca", "completion")  # shapes with one text in each column
FAULTS = ("none", "none", "broken", "not_utf8", "empty_field", "other_kind", "huge")


def draw_case(seed: int) -> FileCase:
    """Draw one file. Formats, shapes, newlines, marks, compressions and faults all vary."""
    draw = random.Random(seed)
    file_format = FORMATS[seed % len(FORMATS)]
    shapes = FLAT if file_format.startswith("csv") else ("pairs_tsv",) if file_format == "tsv" else SHAPES
    shape = draw.choice(shapes)
    fault = draw.choice(FAULTS)
    rows = [draw_row(shape, draw, number) for number in range(draw.randint(2, 12))]
    newline = draw.choice([b"\n", b"\r\n"])
    bom = b"\xef\xbb\xbf" if draw.random() < 0.3 and file_format != "parquet" else b""
    case = WRITERS[file_format](rows, shape, fault, newline, draw)
    compression = draw.choice(["", "", "gz", "zst"])
    case.content = COMPRESS[compression](bom + case.content)
    case.name += f".{compression}" if compression else ""
    return case


def draw_text(draw: random.Random, number: int) -> str:
    return f"{number} " + " ".join(draw.choice(WORDS) for _ in range(draw.randint(1, 6)))


def draw_row(shape: str, draw: random.Random, number: int) -> tuple[Values, tuple[Any, Any]]:
    """Return the fields of a record, and what it holds."""
    import unicodedata

    def text() -> str:
        return unicodedata.normalize("NFC", draw_text(draw, number))

    one, two = text(), text()
    further = {"url": "http://x", "meta": {"n": number}} if draw.random() < 0.3 else {}
    flat_further = {"id": str(number)}
    turns = [("user", one), ("assistant", two)]
    chat = [{"role": role, "content": content} for role, content in turns]
    if shape == "text":
        return {"text": one} | flat_further, (one, "")
    if shape == "classes":
        return {"text": one, "label": "ab"[number % 2]} | flat_further, (one, "ab"[number % 2])
    if shape == "alpaca":
        about = text() if draw.random() < 0.5 else ""
        source = f"{one}\n\n{about}" if about else one
        return {"instruction": one, "input": about, "output": two}, (source, two)
    if shape == "completion":
        return {"prompt": one, "completion": two}, (one, two)
    if shape == "pairs_tsv":
        return {"source": one, "target": two}, (one, two)
    if shape == "translation":
        return {"translation": {"en": one, "fr": two}} | further, (one, two)
    if shape == "openai":
        return {"messages": chat} | further, ([*chat], "")
    if shape == "sharegpt":
        names = {"user": "human", "assistant": "gpt"}
        return {"conversations": [{"from": names[role], "value": content} for role, content in turns]}, (
            chat,
            "",
        )
    answers = [{"role": "assistant", "content": two}], [{"role": "assistant", "content": f"{two} not"}]
    if shape == "dpo":
        return {"prompt": one, "chosen": two, "rejected": f"{two} not"}, (chat[:1], answers)
    return {"chosen": chat, "rejected": [chat[0], answers[1][0]]}, (chat[:1], answers)


KINDS = {
    "text": "text", "classes": "classes", "openai": "chats", "sharegpt": "chats", "dpo": "preference",
    "dpo_chats": "preference",
}  # fmt: skip


def kind_of(shape: str) -> str:
    return KINDS.get(shape, "pairs")


def bad_line(fault: str, shape: str) -> bytes:
    """A line of JSON that must be refused in a file of this shape."""
    if fault == "broken":
        return b'{"text": "no end'
    if fault == "not_utf8":
        return b'{"text": "caf\xe9", "label": "a"}'
    if fault == "empty_field":
        return b'{"prompt": " ", "completion": "x"}'
    if fault == "huge":
        return b'{"text": "' + b"x" * LINE_BYTES_LIMIT + b'"}'
    return b'{"source": "a", "target": "b"}' if kind_of(shape) != "pairs" else b'{"text": "alone"}'


def _write_lines(
    rows: list[Any], shape: str, fault: str, newline: bytes, draw: random.Random, suffix: str
) -> FileCase:
    case = FileCase(f"a{suffix}", b"", kind_of(shape))
    lines: list[bytes] = []
    at = draw.randint(1, len(rows) - 1)
    for number, (values, expected) in enumerate(rows):
        if number == at and fault != "none":
            lines.append(bad_line(fault, shape))
            case.bad.append(len(lines))
        if number and draw.random() < 0.2:
            lines.append(b"")
        lines.append(json.dumps(values, ensure_ascii=draw.random() < 0.5).encode())
        case.good.append(expected)
    case.content = newline.join(lines) + (newline if draw.random() < 0.7 else b"")
    return case


def _write_list(rows: list[Any], shape: str, fault: str, newline: bytes, draw: random.Random) -> FileCase:
    """A list on one line, as `json.dump` writes it; a broken value in it is one that is valid JSON."""
    return _list_case(rows, shape, fault, newline, draw, None)


def _write_pretty(rows: list[Any], shape: str, fault: str, newline: bytes, draw: random.Random) -> FileCase:
    return _list_case(rows, shape, fault, newline, draw, 2)


def _list_case(
    rows: list[Any], shape: str, fault: str, newline: bytes, draw: random.Random, indent: int | None
) -> FileCase:
    case = FileCase("a.json", b"", kind_of(shape))
    at = draw.randint(1, len(rows) - 1)
    content, line = b"[" + newline, 2
    pieces: list[tuple[bytes, Any]] = []
    for number, (values, expected) in enumerate(rows):
        if number == at and fault != "none":
            broken = b'{"text": oops}' if fault == "broken" else bad_line(fault, shape)
            pieces.append((broken, None))
        pieces.append((json.dumps(values, ensure_ascii=False, indent=indent).encode(), expected))
    for number, (piece, expected) in enumerate(pieces):
        if expected is None:
            case.bad.append(line)
        else:
            case.good.append(expected)
        content += piece.replace(b"\n", newline) + (b"," if number < len(pieces) - 1 else b"") + newline
        line += piece.count(b"\n") + 1
    case.content = content + b"]" + newline
    return case


def _write_csv(
    rows: list[Any], shape: str, fault: str, newline: bytes, draw: random.Random, delimiter: str = ","
) -> FileCase:
    case = FileCase("a.csv", b"", kind_of(shape))
    names = list(rows[0][0])
    at = draw.randint(1, len(rows) - 1)
    out = io.BytesIO()

    def write(cells: list[str]) -> None:
        text = io.StringIO()
        csv.writer(text, delimiter=delimiter, lineterminator=newline.decode()).writerow(cells)
        out.write(text.getvalue().encode())

    def lines_so_far() -> int:
        return out.getvalue().count(b"\n") + 1

    write([name.title() if draw.random() < 0.3 else name for name in names])
    for number, (values, expected) in enumerate(rows):
        if number == at and fault in ("broken", "not_utf8", "empty_field", "huge"):
            case.bad.append(lines_so_far())
            filled = {"not_utf8": "caf\xe9", "empty_field": " "}.get(fault)
            cells = delimiter.join([filled] * len(names)).encode("latin-1") if filled else CSV_FAULTS[fault]
            out.write(cells + newline)
        texts = [str(values[name]) for name in names]
        if draw.random() < 0.3 and shape != "classes":  # a newline in a cell in quotes
            texts[0] = texts[0] + "\nmore"
            first = expected[0].split("\n\n")
            expected = ("\n\n".join([first[0] + "\nmore", *first[1:]]), expected[1])
        write(texts)
        case.good.append(expected)
    case.content = out.getvalue()
    return case


def _write_tsv(rows: list[Any], shape: str, fault: str, newline: bytes, draw: random.Random) -> FileCase:
    case = FileCase("a.tsv", b"", "pairs")
    lines = [b"source\ttarget"] if draw.random() < 0.5 else []
    at = draw.randint(1, len(rows) - 1)
    for number, (values, expected) in enumerate(rows):
        if number == at and fault != "none":
            lines.append({"not_utf8": b"caf\xe9\tx", "empty_field": b"a\t "}.get(fault, b"no tab"))
            case.bad.append(len(lines))
        lines.append(f"{values['source']}\t{values['target']}".encode())
        case.good.append(expected)
    case.content = newline.join(lines) + newline
    return case


def _write_parquet(rows: list[Any], shape: str, fault: str, newline: bytes, draw: random.Random) -> FileCase:
    import pyarrow
    from pyarrow import parquet

    case = FileCase("a.parquet", b"", kind_of(shape))
    values = [row for row, _ in rows]
    case.good = [expected for _, expected in rows]
    if fault != "none" and shape in ("text", "completion"):
        values[1] = dict.fromkeys(values[1], " ")
        case.bad, case.good = [2], case.good[:1] + case.good[2:]
    out = io.BytesIO()
    parquet.write_table(pyarrow.Table.from_pylist(values), out, row_group_size=3)
    case.content = out.getvalue()
    return case


CSV_FAULTS = {"broken": b'"a" b,c', "huge": b"x" * (LINE_BYTES_LIMIT + 1)}
WRITERS: dict[str, Callable[..., FileCase]] = {
    "jsonl": lambda *given: _write_lines(*given, ".jsonl"),
    "ndjson": lambda *given: _write_lines(*given, ".ndjson"),
    "json_lines": lambda *given: _write_lines(*given, ".json"),
    "json_list": _write_list,
    "json_pretty": _write_pretty,
    "csv": _write_csv,
    "csv_semicolon": lambda *given: _write_csv(*given, ";"),
    "tsv": _write_tsv,
    "parquet": _write_parquet,
}
COMPRESS: dict[str, Callable[[bytes], bytes]] = {
    "": lambda content: content,
    # Two members, as `cat a.gz b.gz` makes them.
    "gz": lambda content: gzip.compress(content[:50]) + gzip.compress(content[50:]),
    "zst": lambda content: zstandard.compress(content[:50]) + zstandard.compress(content[50:]),
}
