"""Items of W&B's records: keys with values in JSON, and their flat form."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from jobs.imports import protobuf as pb

ITEM_KEY, ITEM_NESTED, ITEM_NONE, ITEM_JSON_TEXT, ITEM_JSON = 1, 2, 3, 8, 16
TYPED_READERS = {
    4: lambda value: bool(pb.as_int64(value)),
    5: pb.as_sint64,
    6: pb.as_double,
    7: pb.as_text,
}
JSON_BYTES = 4 * 1024 * 1024
DEPTH = 50
PRIVATE = "_wandb"
MEDIA_SUFFIX = "._type"
MEDIA_TYPE = "_type"  # marks a dict that stands for a histogram, an image, a table


class TooLarge:
    """A value that is not read because of its size or depth."""


TOO_LARGE = TooLarge()


def decode_items(items: Iterable[pb.Value]) -> Iterator[tuple[str, Any]]:
    """(key, value) of each item; nested keys are joined by dots. Raises ValueError."""
    for item in items:
        fields = pb.parse_message(item)
        yield item_key(fields), _value(fields)


def item_key(fields: pb.Message) -> str:
    return ".".join(pb.as_text(name) for name in fields.get(ITEM_NESTED) or fields.get(ITEM_KEY, []))


def _value(fields: pb.Message) -> Any:
    for number, read in TYPED_READERS.items():
        if number in fields:
            return read(fields[number][-1])
    for number in (ITEM_JSON, ITEM_JSON_TEXT):
        if number in fields:
            text = pb.as_text(fields[number][-1])
            if len(text) > JSON_BYTES:
                return TOO_LARGE
            try:
                return json.loads(text)
            except RecursionError:
                return TOO_LARGE
    return None


def flatten(value: Any, path: str) -> Iterator[tuple[str, Any]]:
    """(key, leaf) of a value; the keys of nested dicts are joined by dots. A dict that stands for media is a leaf."""
    waiting: list[tuple[str, Any, int]] = [(path, value, 0)]
    while waiting:
        name, current, depth = waiting.pop()
        if isinstance(current, Mapping) and current and MEDIA_TYPE not in current:
            if depth >= DEPTH:
                yield name, TOO_LARGE
                continue
            below = [(f"{name}.{key}" if name else str(key), value) for key, value in current.items()]
            waiting += [(key, value, depth + 1) for key, value in reversed(below)]
        else:
            yield name, current


def split_media(values: dict[str, Any]) -> tuple[dict[str, Any], set[str]]:
    """(values, names of media). Newer clients write the parts of a histogram or image as nested keys, such as
    `image.width`, which are no metrics."""
    names = {key.removesuffix(MEDIA_SUFFIX) for key in values if key.endswith(MEDIA_SUFFIX)}
    if not names:
        return values, names
    kept = {
        key: value for key, value in values.items() if not any(key.startswith(f"{name}.") for name in names)
    }
    return kept, names


def flatten_params(values: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    """The leaves of a config as parameters; lists are kept as JSON."""
    for key, value in values.items():
        if key.split(".")[0] == PRIVATE:
            continue
        for name, leaf in flatten(value, key):
            yield name, json.dumps(leaf) if isinstance(leaf, list | dict) else leaf


def apply_update(values: dict[str, Any], record: pb.Message) -> None:
    """Apply a ConfigRecord or SummaryRecord: updates and removals. Raises ValueError."""
    for key, value in decode_items(record.get(1, [])):
        values[key] = value
    for item in record.get(2, []):
        key = item_key(pb.parse_message(item))
        for known in [known for known in values if known == key or known.startswith(f"{key}.")]:
            del values[known]
