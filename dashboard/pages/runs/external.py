"""What the page of a run without a job shows: how it stands, its newest values, and what its writer brought along."""

from __future__ import annotations

from collections.abc import Set
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.db.models import F, QuerySet

from dashboard.charts import chart_sections, panels
from dashboard.charts.panels import Reading
from jobs.models import Artefact, Run, RunMetric
from jobs.states.jobs import FINAL, JobState
from jobs.tracking import external_runs

SILENT_AFTER = timedelta(
    minutes=5
)  # a writer that trains says something more often, or at least once an epoch
FIGURES = 6
FIRST = ("loss", "validation_loss", "val_loss", "accuracy")  # shown before others
SHOWN = 1000  # rows of one kind on the page; the API has them all


@dataclass(frozen=True)
class Standing:
    """How a run stands as far as anybody knows: what its writer said last, and when it was last heard."""

    state: str
    silent_since: datetime | None  # it says it runs, and has said nothing for a while
    took_s: float | None  # None: it has not begun
    lost_because: str = ""  # it was taken for killed


def standing(run: Run, now: datetime) -> Standing:
    is_over = run.state in FINAL
    heard_at = run.heard_at or run.created_at
    is_silent = run.state == JobState.RUNNING and now - heard_at > SILENT_AFTER
    end = run.ended_at if is_over else heard_at if is_silent else now
    took_s = (end - run.started_at).total_seconds() if run.started_at and end else None
    lost_because = external_runs.loss_reason(run) if run.state == JobState.FAILED else ""
    took_s = None if took_s is None else max(0.0, took_s)
    return Standing(run.state, heard_at if is_silent else None, took_s, lost_because)


def figures(run: Run) -> list[RunMetric]:
    """The newest values that say most: loss and accuracy, then by name; readings of the machine never."""
    rows = list(run.metrics.exclude(key__startswith="system/").order_by("key")[:SHOWN])
    return sorted(rows, key=lambda row: (_rank(row.key), row.key))[:FIGURES]


def sections(run: Run, there: Set[str]) -> list[tuple[str, list[Reading]]]:
    """A chart for each metric that was logged, as the page that compares runs lays them out, and a line for each that
    could not be read, with the reason."""
    said = {name for about in run.missing.values() for name in about}
    found, _ = chart_sections.cut(chart_sections.sections(there | said, may_grow=False))
    return [
        (title, [panels.reading(panel, run.missing, there, is_over=False) for panel in row])
        for title, row in found
    ]


def brought(run: Run) -> dict[str, Any]:
    """The template's context; a constant number of queries."""
    return {
        "inputs": run.inputs.all()[:SHOWN],
        "artefacts": artefacts(run),
        "children": _with_state(run.children.filter(team=run.team)).order_by("-created_at")[:SHOWN],
    }


def artefacts(run: Run) -> list[tuple[str, list[Artefact]]]:
    """By the folder they lie in, the run's own first."""
    folders: dict[str, list[Artefact]] = {}
    for artefact in run.artefacts.order_by("path")[:SHOWN]:
        folders.setdefault(artefact.path.rpartition("/")[0], []).append(artefact)
    return sorted(folders.items())


def _with_state(runs: QuerySet[Run]) -> QuerySet[Run]:
    return runs.annotate(job_state=F("job__state"))


def _rank(key: str) -> int:
    name = key.rpartition("/")[2]
    if name in FIRST:
        return FIRST.index(name)
    return len(FIRST) + (0 if "loss" in name or "acc" in name else 1)
