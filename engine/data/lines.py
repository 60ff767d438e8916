"""Lines of a data file as records: JSONL (texts, pairs, labels) or TSV (pairs)."""

from __future__ import annotations

import json
import unicodedata
from dataclasses import dataclass
from typing import Any, Literal

from engine.data.examples import Example

Kind = Literal["text", "pairs", "classes"]
KIND_TITLES: dict[str, str] = {"text": "text", "pairs": "pairs of texts", "classes": "texts with labels"}
SUFFIXES = (".jsonl", ".ndjson", ".tsv")
LINE_BYTES_LIMIT = 1024**2
LABEL_CHARS_LIMIT = 100
# Required fields of a JSONL line -> kind of record, the most specific first. Further fields are not read.
FIELDS: dict[tuple[str, ...], Kind] = {
    ("text", "label"): "classes",
    ("source", "target"): "pairs",
    ("prompt", "completion"): "pairs",
    ("instruction", "output"): "pairs",
    ("text",): "text",
}
INPUT = "input"  # beside an instruction: what it is about
TRANSLATION = "translation"  # {"en": ..., "fr": ...}
CHATS = ("messages", "conversations")
KNOWN_FIELDS = (
    '{"text"}, {"text", "label"}, {"source", "target"}, {"prompt", "completion"}, {"instruction", "input", "output"} '
    'or {"translation": {two languages}}'
)


class LineError(ValueError):
    """A line is not a valid record; the message gives the reason."""


@dataclass(frozen=True)
class Record:
    """Content of one line. The target is empty for a text and the class name for a labelled text."""

    kind: Kind
    example: Example
    unread: tuple[str, ...] = ()  # names of further fields


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
    if len(columns) < 2:
        raise LineError("it has no tab: source, tab, target")
    unread = tuple(f"column {number}" for number in range(3, len(columns) + 1))
    return Record("pairs", _build_example(*columns[:2]), unread)


def _parse_json(text: str) -> Record:
    try:
        values = json.loads(text, object_pairs_hook=_unique_fields)
    except (ValueError, RecursionError) as error:
        reason = getattr(error, "msg", None) or str(error) or "it is nested too deeply"
        raise LineError(f"it is not JSON: {reason}") from None
    if not isinstance(values, dict):
        raise LineError(f"it is not an object with the fields {KNOWN_FIELDS}")
    if isinstance(values.get(TRANSLATION), dict):
        return _parse_translation(values)
    names = next((names for names in FIELDS if all(name in values for name in names)), None)
    if names is None:
        raise LineError(_unknown_fields(values))
    used = (*names, INPUT) if names[0] == "instruction" and isinstance(values.get(INPUT), str) else names
    texts = {name: _text_field(name, values[name]) for name in used}
    unread = tuple(name for name in values if name not in used)
    if FIELDS[names] == "text":
        return Record("text", Example(_required_text(texts["text"], "text"), ""), unread)
    source, target = names
    if texts.get(INPUT):
        texts[source] = f"{texts[source]}\n\n{texts[INPUT]}"
    example = _build_example(texts[source], texts[target], source, target)
    if FIELDS[names] == "classes" and len(example.target) > LABEL_CHARS_LIMIT:
        raise LineError(f"its label has {len(example.target):,} characters; the limit is {LABEL_CHARS_LIMIT}")
    return Record(FIELDS[names], example, unread)


def _parse_translation(values: dict[str, Any]) -> Record:
    languages = values[TRANSLATION]
    if len(languages) != 2:
        raise LineError(f"its translation has {len(languages)} languages, not 2")
    (source, source_text), (target, target_text) = languages.items()
    example = _build_example(
        _text_field(source, source_text), _text_field(target, target_text), source, target
    )
    return Record("pairs", example, tuple(name for name in values if name != TRANSLATION))


def _text_field(name: str, value: Any) -> str:
    if name == "label" and isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    if not isinstance(value, str):
        raise LineError(f"its field {name[:50]} is not a text")
    return value


def _unknown_fields(values: dict[str, Any]) -> str:
    if chat := next((name for name in CHATS if name in values), None):
        return f"it is a chat ({chat}), which cannot be trained on yet; the known forms are {KNOWN_FIELDS}"
    names = ", ".join(sorted(values))[:100] or "no fields"
    return f"it has the fields {names}; the known forms are {KNOWN_FIELDS}"


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
