"""First rows of a long list, with the number of all and a way to the rest."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from django.db.models import QuerySet
from django.http import QueryDict

MORE = "more"  # field of an address: the lists that show all their rows
MORE_ROWS = 5_000  # of a list that shows all; what is beyond is in exports and the API


class ShownRows(Sequence[Any]):
    """The rows that a page shows of `total`. `name` is the list's in the field MORE; '' for one that cannot grow."""

    def __init__(self, rows: Sequence[Any], total: int, name: str = "") -> None:
        self.rows = list(rows)
        self.total = total
        self.name = name

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, index: Any) -> Any:
        return self.rows[index]

    def __iter__(self) -> Iterator[Any]:
        return iter(self.rows)

    @property
    def is_cut(self) -> bool:
        return len(self.rows) < self.total

    @property
    def can_grow(self) -> bool:
        return bool(self.name) and len(self.rows) < MORE_ROWS


def select_shown(
    found: QuerySet[Any] | Sequence[Any], limit: int, query: QueryDict | None = None, name: str = ""
) -> ShownRows:
    """Return the first `limit` rows, or MORE_ROWS where the query asks for this list. Counts only what is cut."""
    if query is not None and name in query.getlist(MORE):
        limit = MORE_ROWS
    rows = list(found[: limit + 1])
    if len(rows) <= limit:
        return ShownRows(rows, len(rows), name)
    total = found.count() if isinstance(found, QuerySet) else len(found)
    return ShownRows(rows[:limit], total, name if query is not None else "")
