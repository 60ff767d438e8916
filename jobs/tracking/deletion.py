"""Deletion of runs and projects into the bin, and their way back."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta

from django.conf import settings
from django.db import transaction
from django.db.models import Q, QuerySet
from django.utils import timezone

from engine.request_limits import BULK_RUNS
from jobs.models import Deletion, DeletionState, Job, Project, ProjectEvent, Run, RunEvent, Team
from jobs.models.sweeps import SweepState
from jobs.states.jobs import FINAL, JobState
from jobs.tracking.external_runs import TrackingError
from jobs.tracking.projects import ProjectError
from jobs.tracking.run_status import SILENT_AFTER

NAMES_KEPT = 20  # of the runs, in the record
ROWS_A_STATEMENT = 500


def delete_runs(runs: QuerySet[Run], *, actor: str) -> list[Deletion]:
    """Move runs to the bin, all or none; one record a team. Raises TrackingError for a run that is still in use."""
    with transaction.atomic():
        rows = _lock(runs)
        _refuse_used(rows)
        by_team: dict[int, list[Run]] = {}
        for row in rows:
            by_team.setdefault(row.team_id, []).append(row)
        return [_put_into_bin(Team.objects.get(id=team), found, actor) for team, found in by_team.items()]


def delete_project(project: Project, *, actor: str) -> Deletion:
    """Move a project with all its runs to the bin. Raises TrackingError for a run that is still in use."""
    with transaction.atomic():
        current = Project.objects.select_for_update().get(id=project.id)
        if current.deletion_id is not None:
            raise ProjectError(f"Project {current.name!r} is in the bin already.")
        rows = _lock(Run.objects.filter(project=current))
        _refuse_used(rows)
        made = _put_into_bin(current.team, rows, actor, current.name)
        Project.objects.filter(id=current.id).update(deletion=made, updated_at=timezone.now())
        ProjectEvent.objects.create(project=current, actor=actor, kind="project.deleted")
    return made


def restore(deletion: Deletion, *, actor: str) -> bool:
    """Take everything of a deletion out of the bin. False if it is not in the bin any more."""
    now = timezone.now()
    with transaction.atomic():
        rows = Deletion.objects.filter(id=deletion.id, state=DeletionState.IN_BIN)
        if not rows.update(state=DeletionState.RESTORED, ended_at=now, ended_by=actor):
            return False
        runs = Run.objects.filter(deletion=deletion)
        events = [
            RunEvent(run_id=run_id, actor=actor, kind="run.restored")
            for run_id in runs.values_list("id", flat=True)
        ]
        RunEvent.objects.bulk_create(events, batch_size=ROWS_A_STATEMENT)
        runs.update(deletion=None)
        for project in Project.objects.filter(deletion=deletion):
            ProjectEvent.objects.create(project=project, actor=actor, kind="project.restored")
        Project.objects.filter(deletion=deletion).update(deletion=None, updated_at=now)
    deletion.refresh_from_db()
    return True


def move_runs(runs: QuerySet[Run], project: Project | None, *, actor: str) -> int:
    """Move runs to another project of their team, or to none. Returns how many were elsewhere before.

    All or none. Raises TrackingError for a run of another team and for too many runs."""
    with transaction.atomic():
        rows = _lock(runs)
        if project is not None and any(row.team_id != project.team_id for row in rows):
            raise TrackingError(
                f"Project {project.name!r} belongs to team {project.team.name}; runs of another team stay in theirs."
            )
        moved = [row for row in rows if row.project_id != (project.id if project else None)]
        text = f"To project {project.name}." if project else "Out of its project."
        events = [RunEvent(run=row, actor=actor, kind="run.moved", text=text) for row in moved]
        for ids in _groups([row.id for row in moved]):
            Run.objects.filter(id__in=ids).update(project=project)
        RunEvent.objects.bulk_create(events, batch_size=ROWS_A_STATEMENT)
        if project is not None:
            Project.objects.filter(id=project.id).update(updated_at=timezone.now())
    return len(moved)


def _lock(runs: QuerySet[Run]) -> list[Run]:
    ids = sorted(runs.order_by().values_list("id", flat=True)[: BULK_RUNS + 1])
    if broken := BULK_RUNS.error(len(ids)):
        raise TrackingError(broken)
    columns = ("id", "name", "team", "project", "job", "state", "last_seen_at", "created_at", "deletion")
    return [
        row
        for some in _groups(ids)
        for row in Run.objects.select_for_update()
        .only(*columns)
        .filter(id__in=some, deletion=None)
        .order_by("id")
    ]


def _refuse_used(rows: Sequence[Run]) -> None:
    """Raises TrackingError for the first run that something still writes to or starts from."""
    recent = timezone.now() - SILENT_AFTER
    for some in _groups([row.id for row in rows]):
        used = Q(job__isnull=False) & ~Q(job__state__in=FINAL)
        logged = Q(job=None, state=JobState.RUNNING, last_seen_at__gte=recent)
        for run in Run.objects.filter(used | logged, id__in=some).select_related("job")[:1]:
            if run.job:
                raise TrackingError(
                    f"Job {run.name} is {run.job.state}. Cancel it first; then its run can be deleted."
                )
            raise TrackingError(f"Run {run.name} is still being logged. Finish it first, or stop its script.")
        swept = Run.objects.filter(id__in=some, job__sweep__state__in=(SweepState.RUNNING, SweepState.PAUSED))
        for run in swept.select_related("job__sweep")[:1]:
            assert run.job is not None and run.job.sweep is not None
            raise TrackingError(
                f"Run {run.name} belongs to sweep {run.job.sweep.name}, which still ranks it. Cancel the sweep first."
            )
        starting = Job.objects.filter(start_checkpoint__run__in=some).exclude(state__in=FINAL)
        for job in starting.exclude(run__in=[row.id for row in rows]).select_related("start_checkpoint__run")[
            :1
        ]:
            assert job.start_checkpoint is not None
            raise TrackingError(
                f"Job {job.name} starts from a checkpoint of run {job.start_checkpoint.run.name}. "
                "Wait for its end, or cancel it."
            )


def _put_into_bin(team: Team, rows: Sequence[Run], actor: str, project_name: str = "") -> Deletion:
    made = Deletion.objects.create(
        team=team,
        project_name=project_name,
        run_names=[row.name for row in rows[:NAMES_KEPT]],
        num_runs=len(rows),
        actor=actor,
        due_at=timezone.now() + timedelta(seconds=settings.BIN_KEEP_S),
    )
    for ids in _groups([row.id for row in rows]):
        Run.objects.filter(id__in=ids).update(deletion=made)
    events = [RunEvent(run=row, actor=actor, kind="run.deleted") for row in rows]
    RunEvent.objects.bulk_create(events, batch_size=ROWS_A_STATEMENT)
    return made


def _groups(ids: Sequence[str]) -> list[Sequence[str]]:
    return [ids[first : first + ROWS_A_STATEMENT] for first in range(0, len(ids), ROWS_A_STATEMENT)]
