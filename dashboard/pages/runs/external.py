"""Page of a logged run: newest values, charts, uploaded files and inputs."""

from __future__ import annotations

from collections.abc import Set
from typing import Any

from django.db.models import F, QuerySet
from django.http import QueryDict

from dashboard.charts import chart_sections, metric_search, panels
from jobs.models import Artefact, Run, RunMetric

METRICS_SHOWN = 6
NAMES_READ = 20_000
SHOWN = 1000  # rows of one kind on the page; the API returns all


def get_key_metrics(run: Run) -> list[RunMetric]:
    """Return the newest values of the main metrics: loss and accuracy first, then by name, without system metrics."""
    names = run.metrics.exclude(key__startswith="system/").values_list("key", flat=True)[:NAMES_READ]
    first = sorted(names, key=chart_sections.get_importance)[:METRICS_SHOWN]
    rows = {row.key: row for row in run.metrics.filter(key__in=first)}
    return [rows[name] for name in first]


def build_sections(run: Run, recorded: Set[str], query: QueryDict) -> dict[str, Any]:
    """Return the context of a page with a panel per logged metric, in the sections of the compare page, and the reasons
    of absent metrics. It shows the most important ones; the query finds others by name."""
    every = recorded | {name for reasons in run.missing.values() for name in reasons}
    names = metric_search.find_names(every, metric_search.read_text(query))
    found, _ = chart_sections.limit_panels(chart_sections.build_sections(names, may_grow=False))
    sections = [
        (title, [panels.build_panel_state(panel, run.missing, recorded, is_over=False) for panel in row])
        for title, row in found
    ]
    return {"sections": sections, "search": metric_search.build_search(query, every, names, found)}


def build_uploads(run: Run) -> dict[str, Any]:
    """Return the context of runs/_uploaded.html. The number of queries is constant."""
    return {
        "inputs": run.inputs.all()[:SHOWN],
        "artefacts": group_artefacts(run),
        "children": _with_state(run.children.filter(team=run.team)).order_by("-created_at")[:SHOWN],
    }


def group_artefacts(run: Run) -> list[tuple[str, list[Artefact]]]:
    """Return the artefacts by folder, the top folder first."""
    folders: dict[str, list[Artefact]] = {}
    for artefact in run.artefacts.order_by("path")[:SHOWN]:
        folders.setdefault(artefact.path.rpartition("/")[0], []).append(artefact)
    return sorted(folders.items())


def _with_state(runs: QuerySet[Run]) -> QuerySet[Run]:
    return runs.annotate(job_state=F("job__state"))
