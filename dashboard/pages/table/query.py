"""What an address asks of the table of runs: filter, order, columns, groups, pinned and hidden runs."""

from __future__ import annotations

from dataclasses import dataclass
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
AS_IT_COMES = {"page": "1"}  # an address without a query leads to the table as this person left it
COLUMNS_LIMIT, GROUPS_LIMIT, MARKED_LIMIT = 40, 3, 200


@dataclass(frozen=True)
class State:
    filter: str
    sort: runs.Field | None
    is_descending: bool
    columns: tuple[runs.Field, ...]
    groups: tuple[runs.Field, ...]
    pinned: tuple[str, ...]
    hidden: frozenset[str]
    differs: bool
    page: int
    problems: tuple[str, ...]  # what of the address could not be understood, and is left out

    @property
    def has_own_columns(self) -> bool:
        return tuple(map(str, self.columns)) != DEFAULT_COLUMNS

    @property
    def own_query(self) -> str:
        """What of it is not as usual; '' for the table as it comes."""
        query = self.address().removeprefix("?")
        return "" if query == urlencode(AS_IT_COMES) else query

    def address(self, **changes: str | list[str] | None) -> str:
        """The query of this table with some of it changed; what is as usual is left out."""
        said: dict[str, str | list[str] | None] = {
            "filter": self.filter,
            "sort": ("-" if self.is_descending else "") + str(self.sort) if self.sort else "",
            "col": [str(field) for field in self.columns] if self.has_own_columns else [],
            "group": [str(field) for field in self.groups],
            "pin": list(self.pinned),
            "hide": sorted(self.hidden),
            "differs": "1" if self.differs else "",
        }
        kept = {name: value for name, value in (said | changes).items() if value}
        return f"?{urlencode(kept or AS_IT_COMES, doseq=True, safe='():,')}"


def state_of(query: QueryDict) -> State:
    """Never refuses: what cannot be understood is left out, and said."""
    problems: list[str] = []
    sort = query.get("sort", "")
    return State(
        filter=query.get("filter", "").strip(),
        sort=next(iter(_fields([sort.removeprefix("-")] if sort else [], problems, 1)), None),
        is_descending=sort.startswith("-"),
        columns=_fields(query.getlist("col") or DEFAULT_COLUMNS, problems, COLUMNS_LIMIT),
        groups=tuple(f for f in _fields(query.getlist("group"), problems, GROUPS_LIMIT) if is_groupable(f)),
        pinned=tuple(dict.fromkeys(map(_id, query.getlist("pin")[:MARKED_LIMIT]))),
        hidden=frozenset(map(_id, query.getlist("hide")[:MARKED_LIMIT])),
        differs=bool(query.get("differs")),
        page=_page(query.get("page", "")),
        problems=tuple(problems),
    )


def is_groupable(field: runs.Field) -> bool:
    """What has few values: not a metric, not a time."""
    if field.kind == "attribute":
        return runs.ATTRIBUTES[field.key].type in ("text", "number") and field.key not in ("id", "note")
    return field.kind in ("param", "tag")


def _fields(texts: list[str] | tuple[str, ...], problems: list[str], limit: int) -> tuple[runs.Field, ...]:
    found: dict[runs.Field, None] = {}
    for text in texts:
        try:
            found[runs.field_from_text(text)] = None
        except runs.FieldError as error:
            problems.append(str(error))
    if len(found) > limit:
        problems.append(f"Only the first {limit} of {len(found)} are shown.")
    return tuple(found)[:limit]


def _id(text: str) -> str:
    return text[:12]


def _page(text: str) -> int:
    return max(1, int(text)) if text.isascii() and text.isdigit() and len(text) < 8 else 1
