"""What the page of a run without a job shows: how it stands, its newest values, and what its writer brought along."""

from __future__ import annotations

from collections.abc import Set
from typing import Any

from django.db.models import F, QuerySet

from dashboard.charts import chart_sections, panels
from dashboard.charts.panels import PanelState
from jobs.models import Artefact, Run, RunMetric

FIGURES = 6
FIRST = ("loss", "validation_loss", "val_loss", "accuracy")  # shown before others
SHOWN = 1000  # rows of one kind on the page; the API has them all


def figures(run: Run) -> list[RunMetric]:
    """The newest values that say most: loss and accuracy, then by name; readings of the machine never."""
    rows = list(run.metrics.exclude(key__startswith="system/").order_by("key")[:SHOWN])
    return sorted(rows, key=lambda row: (_rank(row.key), row.key))[:FIGURES]


def sections(run: Run, there: Set[str]) -> list[tuple[str, list[PanelState]]]:
    """A chart for each metric that was logged, as the page that compares runs lays them out, and a line for each that
    could not be read, with the reason."""
    said = {name for about in run.missing.values() for name in about}
    found, _ = chart_sections.limit_panels(chart_sections.build_sections(there | said, may_grow=False))
    return [
        (title, [panels.build_panel_state(panel, run.missing, there, is_over=False) for panel in row])
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
