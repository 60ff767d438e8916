"""One line of a data file as a record: JSONL with texts, pairs or labels, or TSV with pairs."""

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
# The fields of a JSONL line -> what kind of record it is.
FIELDS: dict[frozenset[str], Kind] = {
    frozenset(("text",)): "text",
    frozenset(("source", "target")): "pairs",
    frozenset(("text", "label")): "classes",
}
KNOWN = '{"text"}, {"source", "target"} or {"text", "label"}'


class LineError(ValueError):
    """A line that cannot be used; the message says why."""


@dataclass(frozen=True)
class Record:
    """What one line holds; a text has no target, a class's name stands as the target."""

    kind: Kind
    example: Example


def parse(line: bytes, suffix: str) -> Record:
    """The record of one line without its newline. Raises LineError."""
    if len(line) > LINE_BYTES_LIMIT:
        raise LineError(f"it has {len(line):,} bytes; a line may have {LINE_BYTES_LIMIT:,}")
    try:
        text = line.decode()
    except UnicodeDecodeError as error:
        raise LineError(f"it is not UTF-8: byte {error.start + 1}, {error.reason}") from None
    return _from_tsv(text) if suffix == ".tsv" else _from_json(text)


def normalised(text: str) -> str:
    """Unicode NFC, newlines as \\n, nothing at either end. Raises LineError for what no text may hold."""
    clean = unicodedata.normalize("NFC", text.replace("\r\n", "\n").replace("\r", "\n")).strip()
    if "\0" in clean:
        raise LineError("it holds the character NUL")
    if any("\ud800" <= character <= "\udfff" for character in clean):
        raise LineError("it holds half of a surrogate pair, which is no character")
    return clean


def _from_tsv(text: str) -> Record:
    columns = text.rstrip("\r").split("\t")
    if len(columns) != 2:
        raise LineError(f"it has {len(columns)} columns, not 2: source, tab, target")
    return Record("pairs", _example(*columns))


def _from_json(text: str) -> Record:
    try:
        values = json.loads(text, object_pairs_hook=_once)
    except (ValueError, RecursionError) as error:
        said = getattr(error, "msg", None) or str(error) or "nested too deep"
        raise LineError(f"it is not JSON: {said}") from None
    if not isinstance(values, dict):
        raise LineError(f"it is not an object with the fields {KNOWN}")
    kind = FIELDS.get(frozenset(values))
    if kind is None:
        names = ", ".join(sorted(values))[:100] or "no fields"
        raise LineError(f"it has the fields {names}; known are {KNOWN}")
    if kind == "classes" and isinstance(values["label"], int) and not isinstance(values["label"], bool):
        values["label"] = str(values["label"])
    for name, value in values.items():
        if not isinstance(value, str):
            raise LineError(f"its field {name} is not a text")
    if kind == "text":
        return Record(kind, Example(_wanted(values["text"], "text"), ""))
    source, target = ("source", "target") if kind == "pairs" else ("text", "label")
    example = _example(values[source], values[target], source, target)
    if kind == "classes" and len(example.target) > LABEL_CHARS_LIMIT:
        raise LineError(f"its label has {len(example.target):,} characters; {LABEL_CHARS_LIMIT} are the most")
    return Record(kind, example)


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    values = dict(pairs)
    if len(values) < len(pairs):
        raise ValueError("a field stands twice")
    return values


def _example(source: str, target: str, source_name: str = "source", target_name: str = "target") -> Example:
    return Example(_wanted(source, source_name), _wanted(target, target_name))


def _wanted(text: str, name: str) -> str:
    clean = normalised(text)
    if not clean:
        raise LineError(f"its {name} is empty")
    return clean
