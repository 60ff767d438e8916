"""Page of a logged run: newest values, charts, uploaded files and inputs."""

from __future__ import annotations

from collections.abc import Iterable, Set
from typing import Any

from django.db.models import F, Q, QuerySet
from django.http import QueryDict

from dashboard.charts import chart_sections, metric_search, panels
from dashboard.charts.panels import Panel
from dashboard.html.shown_rows import select_shown
from engine.telemetry.metrics import BY_NAME
from jobs.models import Artefact, Run, RunMetric

METRICS_SHOWN = 6
NAMES_READ = 20_000
RANK_OF_MACHINE = 3.5  # of its sections, among those of chart_sections.ROLE_ORDER
SHOWN = 1000  # rows of one kind on the page; the API returns all


def get_key_metrics(run: Run) -> list[RunMetric]:
    """Return the newest values of the main metrics: losses and scores first. Those of the machine and of marks are left
    out."""
    marks = Q(key__startswith="system/") | Q(key__startswith="phase/") | Q(key="step_s")
    rows = run.metrics.exclude(marks).values_list("key", flat=True)
    names = {*rows.order_by("key")[:NAMES_READ], *rows.filter(key__icontains="loss").order_by("key")[:SHOWN]}
    first = sorted(names, key=chart_sections.get_importance)[:METRICS_SHOWN]
    found = {row.key: row for row in run.metrics.filter(key__in=first)}
    return [found[name] for name in first]


def build_sections(run: Run, recorded: Set[str], query: QueryDict) -> dict[str, Any]:
    """Return the context of a page with the panels of the run page for metrics that its client ships or gives a reason
    for, and a panel per metric of the script's own. The query finds metrics beyond the limit by name."""
    every = recorded | {name for reasons in run.missing.values() for name in reasons}
    names = metric_search.find_names(every, metric_search.read_text(query))
    known = {title: [p for p in row if not names.isdisjoint(p.metrics)] for title, row in panels.SECTIONS}
    found = {title: list(row) for title, row in known.items()}
    for title, row in chart_sections.build_sections(names - set(BY_NAME), may_grow=False):
        found[title] = [*row, *found.get(title, [])] if title == "Learning" else [*found.get(title, []), *row]
    filled = sorted(((title, row) for title, row in found.items() if row), key=_rank_section)
    limited, num_dropped = chart_sections.limit_panels(filled)
    sections = [
        (title, [panels.build_panel_state(panel, run.missing, recorded, is_over=False) for panel in row])
        for title, row in limited
    ]
    return {"sections": sections, "search": metric_search.build_search(query, every, names, num_dropped)}


def build_uploads(run: Run) -> dict[str, Any]:
    """Return the context of runs/_uploaded.html. The number of queries is constant."""
    shown = select_shown(run.artefacts.order_by("path"), SHOWN)
    return {
        "inputs": select_shown(run.inputs.all(), SHOWN),
        "artefacts": group_artefacts(shown),
        "shown_artefacts": shown,
        "children": select_shown(
            _with_state(run.children.filter(team=run.team, deletion=None)).order_by("-created_at"), SHOWN
        ),
    }


def group_artefacts(artefacts: Iterable[Artefact]) -> list[tuple[str, list[Artefact]]]:
    """Return the artefacts by folder, the top folder first."""
    folders: dict[str, list[Artefact]] = {}
    for artefact in artefacts:
        folders.setdefault(artefact.path.rpartition("/")[0], []).append(artefact)
    return sorted(folders.items())


def _with_state(runs: QuerySet[Run]) -> QuerySet[Run]:
    return runs.annotate(job_state=F("job__state"))


def _rank_section(section: tuple[str, list[Panel]]) -> float:
    """Losses, scores and throughput come before the machine, and that before what else the script logs."""
    ranks = (chart_sections.get_importance(panel.key)[0] for panel in section[1])
    return min(RANK_OF_MACHINE if rank < 0 else rank for rank in ranks)


def build_device_names(run: Run) -> dict[str, str]:
    """Device -> its name in charts, for runs that Fourwalls did not launch."""
    hosts = list(run.hosts.order_by("name")[:SHOWN])
    found = {}
    for host in hosts:
        for device in host.devices:
            name = "CPU" if device["kind"] == "cpu" else f"GPU {device['index']}"
            found[device["id"]] = f"{host.name} {name}" if len(hosts) > 1 else name
    return found
