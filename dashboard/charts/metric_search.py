"""Search of the metrics of a page, and how many of them it draws."""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass
from urllib.parse import urlencode

from django.http import QueryDict

FIND_CHARS = 200


@dataclass(frozen=True)
class MetricSearch:
    """`kept`: the other fields of the address."""

    text: str
    num_shown: int
    num_found: int
    num_metrics: int
    kept: tuple[tuple[str, str], ...]

    @property
    def is_needed(self) -> bool:
        return bool(self.text) or self.num_shown < self.num_found

    @property
    def address_of_all(self) -> str:
        return f"?{urlencode(self.kept)}"


def read_text(query: QueryDict) -> str:
    return query.get("find", "").strip()[:FIND_CHARS]


def build_search(
    query: QueryDict, recorded: Collection[str], found: Collection[str], num_dropped: int
) -> MetricSearch:
    """`found`: those of the `recorded` names that match; `num_dropped` of them are not drawn."""
    kept = tuple((name, value) for name, values in query.lists() if name != "find" for value in values)
    return MetricSearch(read_text(query), len(found) - num_dropped, len(found), len(recorded), kept)


def find_names(recorded: Collection[str], text: str) -> set[str]:
    """The metrics whose names contain each word of `text`, in any case."""
    is_found = build_matcher(text)
    return {name for name in recorded if is_found(name)}


def build_matcher(text: str) -> Callable[[str], bool]:
    """Whether a name contains each word of a text, in any case."""
    words = text.lower().split()
    return lambda name: all(word in name.lower() for word in words)
