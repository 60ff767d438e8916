"""Lines of a data file as records: JSONL (texts, pairs, labels) or TSV (pairs)."""

from __future__ import annotations

import json
import unicodedata
from dataclasses import dataclass
from typing import Any, Literal

from engine.data.examples import Example

Kind = Literal["text", "pairs", "classes"]
KIND_TITLES: dict[str, str] = {"text": "text", "pairs": "pairs of texts", "classes": "texts with labels"}
SUFFIXES = (".jsonl", ".tsv")
LINE_BYTES_LIMIT = 1024**2
LABEL_CHARS_LIMIT = 100
# Fields of a JSONL line -> kind of record.
FIELDS: dict[frozenset[str], Kind] = {
    frozenset(("text",)): "text",
    frozenset(("source", "target")): "pairs",
    frozenset(("text", "label")): "classes",
}
KNOWN_FIELDS = '{"text"}, {"source", "target"} or {"text", "label"}'


class LineError(ValueError):
    """A line is not a valid record; the message gives the reason."""


@dataclass(frozen=True)
class Record:
    """Content of one line. The target is empty for a text and the class name for a labelled text."""

    kind: Kind
    example: Example


def parse_line(line: bytes, suffix: str) -> Record:
    """Parse one line without its newline. Raises LineError."""
    if len(line) > LINE_BYTES_LIMIT:
        raise LineError(f"it has {len(line):,} bytes; the limit is {LINE_BYTES_LIMIT:,}")
    try:
        text = line.decode()
    except UnicodeDecodeError as error:
        raise LineError(f"it is not UTF-8: byte {error.start + 1}, {error.reason}") from None
    return _parse_tsv(text) if suffix == ".tsv" else _parse_json(text)


def normalise(text: str) -> str:
    """Return the text in Unicode NFC, with \\n as newline and without surrounding white space.

    Raises LineError for NUL and for lone surrogates.
    """
    clean = unicodedata.normalize("NFC", text.replace("\r\n", "\n").replace("\r", "\n")).strip()
    if "\0" in clean:
        raise LineError("it contains the character NUL")
    if any("\ud800" <= character <= "\udfff" for character in clean):
        raise LineError("it contains half of a surrogate pair, which is not a character")
    return clean


def _parse_tsv(text: str) -> Record:
    columns = text.rstrip("\r").split("\t")
    if len(columns) != 2:
        raise LineError(f"it has {len(columns)} columns, not 2: source, tab, target")
    return Record("pairs", _build_example(*columns))


def _parse_json(text: str) -> Record:
    try:
        values = json.loads(text, object_pairs_hook=_unique_fields)
    except (ValueError, RecursionError) as error:
        reason = getattr(error, "msg", None) or str(error) or "it is nested too deeply"
        raise LineError(f"it is not JSON: {reason}") from None
    if not isinstance(values, dict):
        raise LineError(f"it is not an object with the fields {KNOWN_FIELDS}")
    kind = FIELDS.get(frozenset(values))
    if kind is None:
        names = ", ".join(sorted(values))[:100] or "no fields"
        raise LineError(f"it has the fields {names}; the allowed fields are {KNOWN_FIELDS}")
    if kind == "classes" and isinstance(values["label"], int) and not isinstance(values["label"], bool):
        values["label"] = str(values["label"])
    for name, value in values.items():
        if not isinstance(value, str):
            raise LineError(f"its field {name} is not a text")
    if kind == "text":
        return Record(kind, Example(_required_text(values["text"], "text"), ""))
    source, target = ("source", "target") if kind == "pairs" else ("text", "label")
    example = _build_example(values[source], values[target], source, target)
    if kind == "classes" and len(example.target) > LABEL_CHARS_LIMIT:
        raise LineError(f"its label has {len(example.target):,} characters; the limit is {LABEL_CHARS_LIMIT}")
    return Record(kind, example)


def _unique_fields(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    values = dict(pairs)
    if len(values) < len(pairs):
        raise ValueError("a field occurs twice")
    return values


def _build_example(
    source: str, target: str, source_name: str = "source", target_name: str = "target"
) -> Example:
    return Example(_required_text(source, source_name), _required_text(target, target_name))


def _required_text(text: str, name: str) -> str:
    clean = normalise(text)
    if not clean:
        raise LineError(f"its {name} is empty")
    return clean
