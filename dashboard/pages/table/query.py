"""State of the run table in the address.

It holds filter, order, columns, groups, pinned and hidden runs.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from urllib.parse import urlencode

from django.http import QueryDict

from jobs import runs

DEFAULT_COLUMNS = (
    "state",
    "steps",
    "last(loss)",
    "last(validation_loss)",
    "last(tokens_per_s)",
    "owner",
    "created",
)
DEFAULT_METRICS = ("loss", "validation_loss", "tokens_per_s")  # of these
OWN_METRICS = (
    "validation_loss",
    "tokens_per_s",
)  # by which runs of the engine are known; only these have steps
# Query of the default table: an address without a query opens the table in the user's last state.
DEFAULT_QUERY = {"page": "1"}
COLUMNS_LIMIT, GROUPS_LIMIT, MARKED_LIMIT = 40, 3, 200


@dataclass(frozen=True)
class TableState:
    filter: str
    sort: runs.Field | None
    is_descending: bool
    columns: tuple[runs.Field, ...]
    groups: tuple[runs.Field, ...]
    pinned: tuple[str, ...]
    hidden: frozenset[str]
    differs: bool
    page: int
    problems: tuple[str, ...]  # parts of the address that are invalid and left out
    has_own_columns: bool  # the address names them; else they follow from the runs

    def with_usual_metrics(self, metrics: Sequence[str]) -> TableState:
        """Return the table with these metrics in its default columns; unchanged if the address names its columns."""
        if self.has_own_columns or not metrics or set(DEFAULT_METRICS) <= set(metrics):
            return self
        progress = "steps" if set(OWN_METRICS) & set(metrics) else "duration"
        state, *others = (runs.Field("attribute", name) for name in ("state", progress, "owner", "created"))
        fields = (runs.Field("metric", name, "last") for name in metrics)
        return replace(self, columns=(state, *fields, *others))

    @property
    def changed_query(self) -> str:
        """Return the query of what differs from the default table; '' for the default table."""
        query = self.address().removeprefix("?")
        return "" if query == urlencode(DEFAULT_QUERY) else query

    def address(self, **changes: str | list[str] | None) -> str:
        """Return this table's query with some values changed. Default values are left out."""
        values: dict[str, str | list[str] | None] = {
            "filter": self.filter,
            "sort": ("-" if self.is_descending else "") + str(self.sort) if self.sort else "",
            "col": [str(field) for field in self.columns] if self.has_own_columns else [],
            "group": [str(field) for field in self.groups],
            "pin": list(self.pinned),
            "hide": sorted(self.hidden),
            "differs": "1" if self.differs else "",
        }
        query = {name: value for name, value in (values | changes).items() if value}
        return f"?{urlencode(query or DEFAULT_QUERY, doseq=True, safe='():,')}"


def parse_state(query: QueryDict) -> TableState:
    """Parse a query. It is never refused: invalid parts are left out and listed in `problems`."""
    problems: list[str] = []
    sort = query.get("sort", "")
    return TableState(
        filter=query.get("filter", "").strip(),
        sort=next(iter(_parse_fields([sort.removeprefix("-")] if sort else [], problems, 1)), None),
        is_descending=sort.startswith("-"),
        columns=_parse_fields(query.getlist("col") or DEFAULT_COLUMNS, problems, COLUMNS_LIMIT),
        groups=tuple(
            f for f in _parse_fields(query.getlist("group"), problems, GROUPS_LIMIT) if is_groupable(f)
        ),
        pinned=tuple(dict.fromkeys(map(_parse_id, query.getlist("pin")[:MARKED_LIMIT]))),
        hidden=frozenset(map(_parse_id, query.getlist("hide")[:MARKED_LIMIT])),
        differs=bool(query.get("differs")),
        page=_parse_page(query.get("page", "")),
        problems=tuple(problems),
        has_own_columns=bool(query.getlist("col")) and tuple(query.getlist("col")) != DEFAULT_COLUMNS,
    )


def is_groupable(field: runs.Field) -> bool:
    """Whether the field has few values: not a metric, not a time."""
    if field.kind == "attribute":
        return runs.ATTRIBUTES[field.key].type in ("text", "number") and field.key not in ("id", "note")
    return field.kind in ("param", "tag")


def _parse_fields(
    texts: list[str] | tuple[str, ...], problems: list[str], limit: int
) -> tuple[runs.Field, ...]:
    found: dict[runs.Field, None] = {}
    for text in texts:
        try:
            found[runs.field_from_text(text)] = None
        except runs.FieldError as error:
            problems.append(str(error))
    if len(found) > limit:
        problems.append(f"Only the first {limit} of {len(found)} are shown.")
    return tuple(found)[:limit]


def _parse_id(text: str) -> str:
    return text[:12]


def _parse_page(text: str) -> int:
    return max(1, int(text)) if text.isascii() and text.isdigit() and len(text) < 8 else 1
