"""One page of a list, with the offset of the next."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from django.db.models import QuerySet


def page(
    rows: QuerySet[Any], limit: int, offset: int, plain: Callable[[Any], Any] = lambda row: row
) -> dict[str, Any]:
    """Read one row more than asked for, instead of counting them all."""
    found = list(rows[offset : offset + limit + 1])
    return {
        "items": [plain(row) for row in found[:limit]],
        "next_offset": offset + limit if len(found) > limit else None,
    }
