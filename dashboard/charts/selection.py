"""Runs selected by an address, by id or by filter."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from django.utils import timezone

from dashboard.access import Scope
from dashboard.charts import run_labels
from jobs import runs as filters
from jobs.models import Run

MAX_RUNS = 200
MAX_PLACES = 2 * MAX_RUNS  # of runs and of those taken out


@dataclass(frozen=True)
class RunSelection:
    text: str  # the filter
    runs: list[Run] = field(default_factory=list)
    problem: str = ""  # of the filter
    num_left_out: int = 0  # unknown, of other teams, or beyond MAX_RUNS
    positions: dict[str, int] = field(default_factory=dict)  # run -> place that decides its colour

    def label_runs(self) -> dict[str, dict[str, Any]]:
        return run_labels.label_runs(self.runs, self.positions)


def select_runs(scope: Scope, wanted: Sequence[str], text: str) -> RunSelection:
    """Return at most MAX_RUNS runs that the scope sees: named ones in the given order, found ones newest first.

    An empty name keeps the place of a run that was taken out, so that the others keep their colours.
    """
    text = text.strip()
    mine = scope.seen(Run)
    rows = mine.select_related("job", "owner")
    places = {run_id: place for place, run_id in reversed(list(enumerate(wanted[:MAX_PLACES]))) if run_id}
    if wanted := [run_id for run_id in dict.fromkeys(wanted) if run_id]:
        found = {run.id: run for run in rows.filter(id__in=wanted[:MAX_RUNS])}
        runs = [found[run_id] for run_id in wanted if run_id in found]
        return RunSelection(text, runs, num_left_out=len(wanted) - len(runs), positions=places)
    if not text:
        return RunSelection(text)
    try:
        asker = filters.Asker(mine, scope.name, timezone.now())
        matching = filters.filtered(rows, text, asker).order_by("-created_at", "id")
    except filters.FilterError as error:
        return RunSelection(text, problem=str(error))
    runs = list(matching[:MAX_RUNS])
    num_left_out = matching.count() - len(runs) if len(runs) == MAX_RUNS else 0
    by_age = {run.id: place for place, run in enumerate(reversed(runs))}  # a new run changes no colour
    return RunSelection(text, runs, num_left_out=num_left_out, positions=by_age)
