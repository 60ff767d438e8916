"""What the choice of columns offers: every attribute, metric, parameter and tag, with how many runs have it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from django.db.models import QuerySet

from dashboard.pages.table.columns import title_of
from dashboard.pages.table.query import State, is_groupable
from jobs import runs
from jobs.models import Run

KINDS = (("metric", "Metrics"), ("param", "Parameters"), ("tag", "Tags"))


class Offer(NamedTuple):
    field: runs.Field
    title: str
    num_runs: int | None
    is_chosen: bool
    is_groupable: bool

    @property
    def key(self) -> str:
        return str(self.field)


@dataclass(frozen=True)
class Picker:
    chosen: list[Offer]  # in the order of the table
    sections: list[tuple[str, list[Offer]]]
    groupable: list[Offer]

    @classmethod
    def of(cls, state: State, found: QuerySet[Run]) -> Picker:
        own = [runs.Field("attribute", name) for name in runs.ATTRIBUTES if name != "name"]
        sections = [("Run", [_offer(field, state, None) for field in own])]
        for kind, title in KINDS:
            stat = "last" if kind == "metric" else ""
            offers = [_offer(runs.Field(kind, key, stat), state, n) for key, n in runs.keys(found, kind)]  # type: ignore[arg-type]
            sections.append((title, offers))
        chosen = [_offer(field, state, None) for field in state.columns]
        groupable = [offer for _, offers in sections for offer in offers if offer.is_groupable]
        return cls(chosen, [(title, offers) for title, offers in sections if offers], groupable)


def _offer(field: runs.Field, state: State, num_runs: int | None) -> Offer:
    return Offer(field, title_of(field), num_runs, field in state.columns, is_groupable(field))
