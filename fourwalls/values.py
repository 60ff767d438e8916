"""Conversion of logged values, parameters and tags to what the server stores."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterator, Mapping
from typing import Any

from fourwalls.limits import KEY_CHARS, METRIC_CHARS, PARAM_CHARS, TAG_CHARS
from fourwalls.run_config import read_config

PLAIN_TYPES = frozenset({float, int})  # need no conversion
DIGEST_CHARS = 8  # at the end of a name that was cut, so that two long names stay different
DEPTH_LIMIT = 20  # levels of nested parameters; a deeper value, or one that holds itself, becomes a text


def to_numbers(metrics: Mapping[str, Any]) -> tuple[dict[str, float], list[str]]:
    """Return numbers by name (nested ones as 'outer/inner') and the names of values that are not numbers.

    Reading a tensor on a GPU waits for the GPU.
    """
    numbers: dict[str, float] = {}
    refused: list[str] = []
    for name, value in _flatten(metrics, "", "/"):
        number = _to_number(value)
        if number is None or not is_metric_name(name):
            refused.append(name[:METRIC_CHARS])
        else:
            numbers[name] = number
    return numbers, refused


def is_metric_name(name: str) -> bool:
    if not 0 < len(name) <= METRIC_CHARS or "\0" in name or not name.strip():
        return False
    try:
        return bool(name.encode())
    except UnicodeEncodeError:  # half of a surrogate pair
        return False


def to_params(config: Any) -> tuple[dict[str, Any], list[str]]:
    """Plain values and texts by dotted path, from a mapping, dataclass, argparse namespace or any object with
    attributes; and a sentence for each item that was changed or left out. None values are left out without one."""
    return _clean_items(_flatten(read_config(config), "", "."), "parameter", PARAM_CHARS)


def to_tags(tags: Mapping[Any, Any]) -> tuple[dict[str, str], list[str]]:
    """Texts by name, and a sentence for each item that was changed or left out."""
    texts = ((name, "" if value is None else to_text(value)) for name, value in tags.items())
    return _clean_items(texts, "tag", TAG_CHARS)


def clean_text(text: Any, limit: int) -> str:
    """The text without what no column holds (NUL characters, halves of surrogate pairs), cut to `limit`."""
    return to_text(text).encode("utf-8", "replace").decode().replace("\0", "")[:limit]


def _clean_items(items: Iterator[tuple[Any, Any]], kind: str, limit: int) -> tuple[dict[str, Any], list[str]]:
    found: dict[str, Any] = {}
    problems: list[str] = []
    for given, value in items:
        if value is None:
            continue
        name = _clean_name(to_text(given))
        if not name:
            problems.append(f"a {kind} without a name was left out")
            continue
        if isinstance(value, str):
            cleaned = clean_text(value, limit)
            if cleaned != value:
                problems.append(
                    f"the value of {kind} {name[:50]!r} was cut, or cleaned of invalid characters"
                )
            value = cleaned
        if name != given:
            problems.append(f"{kind} {str(name)[:50]!r} has a shortened or cleaned name")
        found[name] = value
    return found, problems


def _clean_name(text: str) -> str:
    """A name that the server takes; '' for one without a visible character."""
    name = clean_text(text, len(text))
    if not name.strip():
        return ""
    if len(name) <= KEY_CHARS:
        return name
    digest = hashlib.sha256(name.encode()).hexdigest()[:DIGEST_CHARS]
    return f"{name[: KEY_CHARS - DIGEST_CHARS - 1]}~{digest}"


def to_text(value: Any) -> str:
    try:
        return str(value)
    except Exception:  # noqa: BLE001 - a value that cannot be printed must not end training
        return f"<{type(value).__name__}>"


def _flatten(values: Mapping[Any, Any], path: str, joint: str, depth: int = 1) -> Iterator[tuple[str, Any]]:
    for key, value in values.items():
        name = f"{path}{joint}{to_text(key)}" if path else to_text(key)
        if isinstance(value, Mapping) and depth < DEPTH_LIMIT:
            yield from _flatten(value, name, joint, depth + 1)
        elif joint == ".":
            yield name, _to_param(value)
        else:
            yield name, value


def _to_param(value: Any) -> Any:
    """A number or truth value as it is if JSON and a 64-bit column hold it, else a text; None stays None."""
    if value is None:
        return None
    if isinstance(value, bool):
        return value
    if isinstance(value, int) and abs(value) < 2**63:
        return int(value)  # a plain one: subclasses, such as enumerations, have encodings of their own
    if isinstance(value, float) and math.isfinite(value):
        return float(value)
    return to_text(value)


def _to_number(value: Any) -> float | None:
    if isinstance(value, (str, bytes)):
        return None
    try:
        return float(value)  # also tensors and arrays of one element
    except (TypeError, ValueError, OverflowError, RuntimeError):
        return None
