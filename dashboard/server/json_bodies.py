"""Bounded reader of JSON bodies, for all APIs."""

from __future__ import annotations

import json
from typing import Any

from engine.request_limits import values_error


class BadBody(ValueError):
    """An unreadable body; the message is the sentence of the reply."""


def read_json(body: bytes | str) -> Any:
    """The plain values of a JSON text, in which NaN and infinities may be written as Python does. Raises BadBody, also
    for a key that one object has twice: of its two values, one would be dropped without a word."""
    try:
        values = json.loads(body, object_pairs_hook=_unique)
    except BadBody:
        raise
    except (ValueError, RecursionError) as error:
        raise BadBody(f"The body is not readable JSON: {str(error).rstrip('.')}.") from None
    if broken := values_error(values):
        raise BadBody(broken)
    return values


def refuse_repeated_keys(body: bytes | str) -> None:
    """Raises BadBody. For a body that another reader has read: 8 ms per MiB (measured 2026-11-30)."""
    json.loads(body, object_pairs_hook=_unique)


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    values = dict(pairs)
    if len(values) < len(pairs):
        seen: set[str] = set()
        repeated = next(key for key, _ in pairs if key in seen or seen.add(key))  # type: ignore[func-returns-value]
        raise BadBody(
            f"The key {repeated[:100]!r} occurs twice in one object of the body. Remove one of them."
        )
    return values
