"""Pages of lists: the rows of one, and where the next begins."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from django.db.models import QuerySet


def page(
    rows: QuerySet[Any], limit: int, offset: int, plain: Callable[[Any], dict[str, Any]]
) -> dict[str, Any]:
    """One row more than asked for is read instead of counting them all."""
    found = list(rows[offset : offset + limit + 1])
    return {
        "items": [plain(row) for row in found[:limit]],
        "next_offset": offset + limit if len(found) > limit else None,
    }
