"""Page of a logged run: newest values, charts, uploaded files and inputs."""

from __future__ import annotations

from collections.abc import Set
from typing import Any

from django.db.models import F, Q, QuerySet

from dashboard.charts import chart_sections, panels
from dashboard.charts.panels import PanelState
from engine.telemetry.metrics import BY_NAME
from jobs.models import Artefact, Run, RunMetric

METRICS_SHOWN = 6
FIRST = ("loss", "validation_loss", "val_loss", "accuracy")  # shown before others
SHOWN = 1000  # rows of one kind on the page; the API returns all


def get_key_metrics(run: Run) -> list[RunMetric]:
    """Return the newest values of the main metrics: loss and accuracy first, then by name. Those of the machine and of
    marks are left out."""
    marks = Q(key__startswith="system/") | Q(key__startswith="phase/") | Q(key="step_s")
    rows = list(run.metrics.exclude(marks).order_by("key")[:SHOWN])
    return sorted(rows, key=lambda row: (_rank(row.key), row.key))[:METRICS_SHOWN]


def build_sections(run: Run, recorded: Set[str]) -> list[tuple[str, list[PanelState]]]:
    """Return the panels of the run page for metrics that its client ships or gives a reason for, and a panel per metric
    of the script's own in the sections of the compare page."""
    missing = {name for reasons in run.missing.values() for name in reasons}
    known = {
        title: [p for p in row if not (recorded | missing).isdisjoint(p.metrics)]
        for title, row in panels.SECTIONS
    }
    found = {title: list(row) for title, row in known.items()}
    for title, row in chart_sections.build_sections((recorded | missing) - set(BY_NAME), may_grow=False):
        found[title] = [*row, *found.get(title, [])] if title == "Learning" else [*found.get(title, []), *row]
    limited, _ = chart_sections.limit_panels([(title, row) for title, row in found.items() if row])
    return [
        (title, [panels.build_panel_state(panel, run.missing, recorded, is_over=False) for panel in row])
        for title, row in limited
    ]


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


def _rank(key: str) -> int:
    name = key.rpartition("/")[2]
    if name in FIRST:
        return FIRST.index(name)
    return len(FIRST) + (0 if "loss" in name or "acc" in name else 1)


def build_device_names(run: Run) -> dict[str, str]:
    """Device -> its name in charts, for runs that Fourwalls did not launch."""
    hosts = list(run.hosts.order_by("name")[:SHOWN])
    found = {}
    for host in hosts:
        for device in host.devices:
            name = "CPU" if device["kind"] == "cpu" else f"GPU {device['index']}"
            found[device["id"]] = f"{host.name} {name}" if len(hosts) > 1 else name
    return found
