"""Figures of projects: runs by state, newest and best runs, files."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from urllib.parse import urlencode

from django.db.models import Count, F, Max, Q, QuerySet, Sum
from django.db.models.functions import Coalesce
from django.urls import reverse

from dashboard.access import Scope
from jobs import runs
from jobs.models import Artefact, Checkpoint, Project, Run, RunMetric
from jobs.runs.directions import better_direction
from jobs.states.jobs import FINAL, JobState

NEWEST, BEST = 10, 5
METRICS_RANKED = 4
LARGE_COLUMNS = ("spec", "plan", "missing", "job__spec", "job__plan")


@dataclass(frozen=True)
class ProjectRow:
    """A project in the list. `project` is None for the runs of a team that are in no project."""

    project: Project | None
    team: str
    num_runs: int
    num_live: int
    num_failed: int
    newest_at: datetime | None
    address: str  # its runs in the table


@dataclass(frozen=True)
class BestRuns:
    """The best runs by one metric, over its best value of each run."""

    metric: str
    direction: str  # low or high
    rows: list[tuple[Run, float]]
    address: str  # the run table in this order


def list_projects(scope: Scope, text: str, *, is_archived: bool) -> list[ProjectRow]:
    """Projects by their newest run; those without one come last."""
    found = scope.listed(Project).filter(archived_at__isnull=not is_archived)
    if text:
        found = found.filter(name__icontains=text)
    counts = {row["project"]: row for row in _count_runs(scope.seen(Run), "project")}
    rows = [_row(project, project.team.name, counts.get(project.id)) for project in found[:2000]]
    if not text and not is_archived:
        without = scope.seen(Run).filter(project=None)
        rows += [_row(None, row["team__name"], row) for row in _count_runs(without, "team__name")]
    return sorted(rows, key=lambda row: -(row.newest_at.timestamp() if row.newest_at else 0.0))


def _count_runs(found: QuerySet[Run], by: str) -> list[dict[str, Any]]:
    state = Coalesce("job__state", "state")
    rows = found.filter(archived_at=None).order_by().annotate(now=state).values(by)
    live = Q(now__in=(JobState.STARTING, JobState.RUNNING, JobState.STOPPING))
    return list(
        rows.annotate(
            n=Count("id"),
            live=Count("id", filter=live),
            failed=Count("id", filter=Q(now=JobState.FAILED)),
            newest=Max("created_at"),
        )
    )


def _row(project: Project | None, team: str, counts: dict[str, Any] | None) -> ProjectRow:
    found = counts or {"n": 0, "live": 0, "failed": 0, "newest": None}
    address = (
        runs_address(project) if project else f"{reverse('runs')}?{urlencode({'filter': 'project:none'})}"
    )
    return ProjectRow(project, team, found["n"], found["live"], found["failed"], found["newest"], address)


def runs_address(project: Project, **more: str) -> str:
    """The run table with this project's runs."""
    return f"{reverse('runs')}?{urlencode({'filter': f'project:{runs.quoted(project.name)}', **more})}"


def build_summary(scope: Scope, project: Project) -> dict[str, Any]:
    """Counts, newest and best runs of one project."""
    found = scope.seen(Run).filter(project=project)
    visible = found.filter(archived_at=None)
    by_state = dict(
        visible.order_by()
        .annotate(now=Coalesce("job__state", "state"))
        .values_list("now")
        .annotate(Count("id"))
    )
    files = Artefact.objects.filter(run__in=found.order_by().values("id")).aggregate(
        n=Count("id"), size=Sum("size_bytes")
    )
    newest = visible.select_related("job", "owner").defer(*LARGE_COLUMNS).order_by("-created_at")[:NEWEST]
    return {
        "num_runs": sum(by_state.values()),
        "num_live": sum(by_state.get(state, 0) for state in JobState.values if state not in FINAL),
        "num_failed": by_state.get(JobState.FAILED, 0),
        "num_archived": found.exclude(archived_at=None).count(),
        "num_files": files["n"],
        "files_bytes": files["size"] or 0,
        "newest": [(run, run.job.state if run.job else run.state) for run in newest],
        "best": _find_best(project, visible),
        "runs_address": runs_address(project),
    }


def _find_best(project: Project, visible: QuerySet[Run]) -> list[BestRuns]:
    """By the metrics that people look for first, where their names tell which direction is better."""
    chosen = [name for name in runs.choose_usual_metrics(visible) if better_direction(_field(name))]
    return [one for name in chosen[:METRICS_RANKED] if (one := _rank(project, visible, name)).rows]


def _field(name: str) -> runs.Field:
    return runs.Field("metric", name, "last")


def _rank(project: Project, visible: QuerySet[Run], name: str) -> BestRuns:
    direction = better_direction(_field(name))
    column = "low" if direction == "low" else "high"
    rows = RunMetric.objects.filter(run__in=visible.order_by().values("id"), key=name, num_finite__gt=0)
    order = F(column).asc() if direction == "low" else F(column).desc()
    values: Sequence[tuple[str, float]] = list(
        rows.order_by(order, "run_id").values_list("run_id", column)[:BEST]
    )
    by_id = visible.select_related("job", "owner").defer(*LARGE_COLUMNS).in_bulk([run for run, _ in values])
    stat = "min" if direction == "low" else "max"
    metric = str(runs.Field("metric", name, stat))
    sort = metric if direction == "low" else f"-{metric}"
    shown = [(by_id[run], value) for run, value in values if run in by_id]
    return BestRuns(name, direction, shown, runs_address(project, sort=sort))


def count_contents(found: QuerySet[Run]) -> dict[str, int]:
    """What a deletion of these runs takes away."""
    ids = found.order_by().values("id")
    files = Artefact.objects.filter(run__in=ids).aggregate(n=Count("id"), size=Sum("size_bytes"))
    checkpoints = Checkpoint.objects.filter(run__in=ids, gone_at=None).aggregate(
        n=Count("id"), size=Sum("size_bytes")
    )
    points = RunMetric.objects.filter(run__in=ids).aggregate(n=Count("id"), size=Sum("count"))
    return {
        "runs": found.count(),
        "files": files["n"],
        "files_bytes": files["size"] or 0,
        "checkpoints": checkpoints["n"],
        "checkpoints_bytes": checkpoints["size"] or 0,
        "metrics": points["n"],
        "points": points["size"] or 0,
    }
