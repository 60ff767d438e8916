"""Page of a logged run: status, newest values, charts, uploaded files and inputs."""

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

SILENT_AFTER = timedelta(minutes=5)  # a writer that trains logs more often
METRICS_SHOWN = 6
FIRST = ("loss", "validation_loss", "val_loss", "accuracy")  # shown before others
SHOWN = 1000  # rows of one kind on the page; the API returns all


@dataclass(frozen=True)
class RunStatus:
    """Last known status of a logged run."""

    state: str
    silent_since: datetime | None  # set if it is running but its writer is silent
    took_s: float | None  # None: not started
    lost_because: str = ""  # why the run counts as killed


def get_status(run: Run, now: datetime) -> RunStatus:
    is_over = run.state in FINAL
    last_seen_at = run.last_seen_at or run.created_at
    is_silent = run.state == JobState.RUNNING and now - last_seen_at > SILENT_AFTER
    end = run.ended_at if is_over else last_seen_at if is_silent else now
    took_s = (end - run.started_at).total_seconds() if run.started_at and end else None
    lost_because = external_runs.lost_because(run) if run.state == JobState.FAILED else ""
    took_s = None if took_s is None else max(0.0, took_s)
    return RunStatus(run.state, last_seen_at if is_silent else None, took_s, lost_because)


def get_key_metrics(run: Run) -> list[RunMetric]:
    """Return the newest values of the main metrics: loss and accuracy first, then by name, without system metrics."""
    rows = list(run.metrics.exclude(key__startswith="system/").order_by("key")[:SHOWN])
    return sorted(rows, key=lambda row: (_rank(row.key), row.key))[:METRICS_SHOWN]


def build_sections(run: Run, recorded: Set[str]) -> list[tuple[str, list[Reading]]]:
    """Return a panel per logged metric, in the sections of the compare page, and the reasons of absent metrics."""
    missing = {name for reasons in run.missing.values() for name in reasons}
    found, _ = chart_sections.cut(chart_sections.sections(recorded | missing, may_grow=False))
    return [
        (title, [panels.reading(panel, run.missing, recorded, is_over=False) for panel in row])
        for title, row in found
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
