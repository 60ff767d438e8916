"""Pages of lists: the rows of one, and where the next begins."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from django.db.models import QuerySet


def page(
    rows: QuerySet[Any], limit: int, offset: int, serialize: Callable[[Any], Any] = lambda row: row
) -> dict[str, Any]:
    """The rows of one page and the offset of the next; reads one more row instead of counting all rows."""
    found = list(rows[offset : offset + limit + 1])
    return {
        "items": [serialize(row) for row in found[:limit]],
        "next_offset": offset + limit if len(found) > limit else None,
    }
