"""Which runs an address compares: those it names, or those its filter finds."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from django.contrib.auth.models import User
from django.utils import timezone

from dashboard import access
from jobs import runs as filters
from jobs.models import Run

RUNS_LIMIT = 200


@dataclass(frozen=True)
class Choice:
    text: str  # the filter
    runs: list[Run] = field(default_factory=list)
    problem: str = ""  # of the filter
    num_left_out: int = 0  # unknown, of other teams, or more than RUNS_LIMIT


def chosen(reader: User, wanted: Sequence[str], text: str) -> Choice:
    """At most RUNS_LIMIT runs of the reader's teams: named ones in the order given, found ones newest first."""
    text = text.strip()
    mine = access.runs_of(reader)
    rows = mine.select_related("job", "owner")
    wanted = list(dict.fromkeys(wanted))
    if wanted:
        found = {run.id: run for run in rows.filter(id__in=wanted[:RUNS_LIMIT])}
        runs = [found[run_id] for run_id in wanted if run_id in found]
        return Choice(text, runs, num_left_out=len(wanted) - len(runs))
    if not text:
        return Choice(text)
    try:
        asker = filters.Asker(mine, reader.get_username(), timezone.now())
        matching = filters.filtered(rows, text, asker).order_by("-created_at", "id")
    except filters.FilterError as error:
        return Choice(text, problem=str(error))
    runs = list(matching[:RUNS_LIMIT])
    num_left_out = matching.count() - len(runs) if len(runs) == RUNS_LIMIT else 0
    return Choice(text, runs, num_left_out=num_left_out)
