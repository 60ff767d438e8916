"""Records of data files: texts, pairs, labels, chats, preferences."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from engine.data import chats
from engine.data.examples import Example
from engine.data.texts import LineError, normalise

__all__ = ["LineError", "normalise"]

Kind = Literal["text", "pairs", "classes", "chats", "preference"]
KIND_TITLES: dict[str, str] = {
    "text": "text", "pairs": "pairs of texts", "classes": "texts with labels", "chats": "chats",
    "preference": "chosen and rejected answers",
}  # fmt: skip
LINE_SUFFIXES = (".jsonl", ".ndjson", ".tsv")
LINE_BYTES_LIMIT = 1024**2
LABEL_CHARS_LIMIT = 100
# Required fields of a record -> its kind, the most specific first. Further fields are not read.
FIELDS: dict[tuple[str, ...], Kind] = {
    ("text", "label"): "classes",
    ("source", "target"): "pairs",
    ("prompt", "completion"): "pairs",
    ("prompt", "response"): "pairs",
    ("instruction", "output"): "pairs",
    ("instruction", "response"): "pairs",
    ("question", "answer"): "pairs",
    ("text",): "text",
}
INPUTS = ("input", "context")  # beside an instruction: what it is about
TRANSLATION = "translation"  # {"en": ..., "fr": ...}
KNOWN_FIELDS = (
    '{"text"}, {"text", "label"}, {"source", "target"}, {"prompt", "completion"}, {"instruction", "input", "output"}, '
    '{"translation": {two languages}}, {"messages"}, {"conversations"} or {"prompt", "chosen", "rejected"}'
)
# Names that columns of a file may be read as.
NAMES = ("text", "label", "source", "target", "messages", "prompt", "chosen", "rejected")


@dataclass(frozen=True)
class Record:
    """Content of one line. The target is empty for a text and a chat, and the class name for a labelled text.

    A chat is JSON in the source; of a preference, the source is the prompt and the target both answers.
    """

    kind: Kind
    example: Example
    unread: tuple[str, ...] = ()  # names of further fields


def parse_line(line: bytes, suffix: str) -> Record:
    """Parse one line without its newline. Raises LineError."""
    return parse_values(read_line(line, suffix))


def read_line(line: bytes, suffix: str) -> dict[str, Any]:
    """Return the fields of one line without its newline. Raises LineError."""
    if len(line) > LINE_BYTES_LIMIT:
        raise LineError(f"it has {len(line):,} bytes; the limit is {LINE_BYTES_LIMIT:,}")
    try:
        text = line.decode()
    except UnicodeDecodeError as error:
        raise LineError(f"it is not UTF-8: byte {error.start + 1}, {error.reason}") from None
    return _read_tsv(text) if suffix == ".tsv" else read_json(text)


def read_json(text: str) -> dict[str, Any]:
    """Return the fields of an object. Raises LineError."""
    try:
        values = json.loads(text, object_pairs_hook=_unique_fields)
    except (ValueError, RecursionError) as error:
        reason = getattr(error, "msg", None) or str(error) or "it is nested too deeply"
        raise LineError(f"it is not JSON: {reason}") from None
    if not isinstance(values, dict):
        raise LineError(f"it is not an object with the fields {KNOWN_FIELDS}")
    return values


def parse_values(values: dict[str, Any], columns: Mapping[str, str] | None = None) -> Record:
    """Return the record that these fields hold. `columns` has the field to read for each name here.

    Raises LineError.
    """
    if columns:
        return _parse_chosen(values, columns)
    if isinstance(values.get(TRANSLATION), dict):
        return _parse_translation(values)
    if chats.CHOSEN in values and chats.REJECTED in values:
        prompt, answers, used = chats.parse_preference(values)
        return Record("preference", Example(prompt, answers), _others(values, used))
    if name := chats.chat_field(values):
        chat, used = chats.parse_chat(values, name)
        return Record("chats", Example(chat, ""), _others(values, used))
    names = next((names for names in FIELDS if all(name in values for name in names)), None)
    if names is None:
        found = ", ".join(sorted(map(str, values)))[:100] or "no fields"
        raise LineError(f"it has the fields {found}; the known forms are {KNOWN_FIELDS}")
    extra = next((name for name in INPUTS if isinstance(values.get(name), str)), None)
    used = (*names, extra) if names[0] == "instruction" and extra else names
    texts = {name: _text_field(name, values[name]) for name in used}
    unread = _others(values, used)
    if FIELDS[names] == "text":
        return Record("text", Example(_required_text(texts["text"], "text"), ""), unread)
    source, target = names
    if extra and texts.get(extra):
        texts[source] = f"{texts[source]}\n\n{texts[extra]}"
    example = _build_example(texts[source], texts[target], source, target)
    if FIELDS[names] == "classes" and len(example.target) > LABEL_CHARS_LIMIT:
        raise LineError(f"its label has {len(example.target):,} characters; the limit is {LABEL_CHARS_LIMIT}")
    return Record(FIELDS[names], example, unread)


def _parse_chosen(values: dict[str, Any], columns: Mapping[str, str]) -> Record:
    """Read the named columns only."""
    if missing := [column for column in columns.values() if column not in values]:
        raise LineError(f"it has no field {missing[0][:50]}")
    found = parse_values({name: values[column] for name, column in columns.items()})
    return Record(found.kind, found.example, _others(values, tuple(columns.values())))


def _read_tsv(text: str) -> dict[str, Any]:
    columns = text.rstrip("\r").split("\t")
    if len(columns) < 2:
        raise LineError("it has no tab: source, tab, target")
    names = ["source", "target", *(f"column {number}" for number in range(3, len(columns) + 1))]
    return dict(zip(names, columns, strict=True))


def _parse_translation(values: dict[str, Any]) -> Record:
    languages = values[TRANSLATION]
    if len(languages) != 2:
        raise LineError(f"its translation has {len(languages)} languages, not 2")
    (source, source_text), (target, target_text) = languages.items()
    example = _build_example(
        _text_field(source, source_text), _text_field(target, target_text), source, target
    )
    return Record("pairs", example, _others(values, (TRANSLATION,)))


def _others(values: dict[str, Any], used: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(name for name in values if name not in used)


def _text_field(name: str, value: Any) -> str:
    if name == "label" and isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    if not isinstance(value, str):
        raise LineError(f"its field {name[:50]} is not a text")
    return value


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
