"""Values in filters: numbers, times, durations."""

from __future__ import annotations

import math
import re
from datetime import UTC, datetime, timedelta

from jobs.runs.grammar import Value
from jobs.runs.tokens import FilterError

SPANS = {"s": 1, "m": 60, "min": 60, "h": 3600, "d": 86400, "w": 604800}
SPAN = re.compile(r"(-?)(\d+(?:\.\d+)?)(s|m|min|h|d|w)")
FARTHEST = 1e18  # beyond the values of integer columns, but within 64 bits
SCALES = {"k": 1e3, "M": 1e6, "G": 1e9, "T": 1e12}


def whole(value: Value, of_what: str) -> float:
    """A number to compare with an integer column, which no infinity fits. Raises FilterError."""
    return min(max(number(value, of_what), -FARTHEST), FARTHEST)


def number(value: Value, of_what: str) -> float:
    """1e-3, 10k, inf; not NaN. `of_what` is named in the sentence of the FilterError."""
    scale = SCALES.get(value.text[-1:]) if value.text[:-1] else None
    try:
        found = float(value.text[:-1]) * scale if scale else float(value.text)
    except ValueError:
        raise _error(
            f"'{value.text}' is not a number; {of_what} needs one, such as 2.1, 1e-3 or 10k.", value
        ) from None
    if math.isnan(found):
        raise _error("NaN is neither above nor below anything. Write = nan or != nan.", value)
    return found


def is_nan(value: Value) -> bool:
    return value.text.lower() == "nan"


def seconds(value: Value, of_what: str) -> float:
    """90, 90s, 5m, 2h, 7d, 1w."""
    found = SPAN.fullmatch(value.text)
    if found:
        return float(found[1] + found[2]) * SPANS[found[3]]
    try:
        return float(value.text)
    except ValueError:
        raise _error(
            f"'{value.text}' is not a duration; {of_what} needs one, such as 90s, 5m, 2h or 7d.", value
        ) from None


def instant(value: Value, now: datetime) -> datetime:
    """-7d (seven days ago), 2026-11-22, 2026-11-22T14:30; UTC without a zone."""
    found = SPAN.fullmatch(value.text)
    try:
        if found:
            return now - timedelta(seconds=float(found[2]) * SPANS[found[3]])
        at = datetime.fromisoformat(value.text)
        return at.astimezone(UTC) if at.tzinfo else at.replace(tzinfo=UTC)
    except (ValueError, OverflowError):
        sentence = (
            f"'{value.text}' is not a time. Write -7d for seven days ago, or 2026-11-22 or 2026-11-22T14:30."
        )
        raise _error(sentence, value) from None


def _error(message: str, value: Value) -> FilterError:
    return FilterError(message, value.start, value.end)
