"""Runs: made, read, renamed, ended, archived and found."""

from __future__ import annotations

from typing import Any

from dashboard.access import Scope
from dashboard.mlflow import answers, paging, shapes
from dashboard.mlflow.door import DEFAULT, endpoint, get_active_run, get_project, get_run
from dashboard.mlflow.errors import bad
from dashboard.mlflow.filtering import runs as search_terms
from dashboard.mlflow.tags import refuse_bad_tags, set_tags
from dashboard.mlflow.words import NAME, NOTE, PARENT, TAG_COLUMNS, moment, state_of, view_of
from engine.request_limits import REQUEST_IDS, SEARCH_PAGE_ROWS, whole_number
from jobs.ids import new_id
from jobs.models import Project, Run
from jobs.states.jobs import FINAL
from jobs.tracking import external_runs, run_annotations


@endpoint("POST", shapes.CreateRun, writes=True)
def create(scope: Scope, asked: shapes.CreateRun) -> dict[str, Any]:
    project = get_project(scope, asked.experiment_id)
    if project is not None and project.archived_at:
        raise bad(f"The experiment {project.id} must be in the 'active' state. Current state is deleted.")
    refuse_bad_tags(asked.tags)
    tags = answers.pairs(asked.tags)
    parent = get_run(scope, tags[PARENT]) if PARENT in tags else None
    run = external_runs.create(
        team=scope.team,
        owner=scope.user,
        name=_name(asked.run_name, tags.get(NAME, "")),
        origin="mlflow",
        project=project,
        parent=parent,
        started_at=moment(asked.start_time or None, "start_time"),
        tags={key: value for key, value in tags.items() if key not in TAG_COLUMNS},
    )
    if tags.get(NOTE):
        run_annotations.change(run, actor=scope.name, note=tags[NOTE])
    return {"run": answers.run(get_run(scope, run.id))}


@endpoint("GET", shapes.RunId)
def get(scope: Scope, asked: shapes.RunId) -> dict[str, Any]:
    return {"run": answers.run(get_run(scope, asked.id))}


@endpoint("POST", shapes.UpdateRun, writes=True)
def update(scope: Scope, asked: shapes.UpdateRun) -> dict[str, Any]:
    run = get_active_run(scope, asked.id)
    if asked.run_name:
        set_tags(scope, run, {NAME: asked.run_name})
    if asked.status is not None:
        ended_at = moment(asked.end_time or None, "end_time")
        state = state_of(asked.status)
        external_runs.set_state(run, state, actor=scope.name, ended_at=ended_at if state in FINAL else None)
    return {"run_info": answers.info(get_run(scope, run.id))}


@endpoint("POST", shapes.RunId, writes=True)
def delete(scope: Scope, asked: shapes.RunId) -> None:
    run_annotations.archive(Run.objects.filter(id=get_run(scope, asked.id).id), actor=scope.name)


@endpoint("POST", shapes.RunId, writes=True)
def restore(scope: Scope, asked: shapes.RunId) -> None:
    run_annotations.restore(Run.objects.filter(id=get_run(scope, asked.id).id), actor=scope.name)


@endpoint("POST", shapes.SearchRuns)
def search(scope: Scope, asked: shapes.SearchRuns) -> dict[str, Any]:
    paging.refuse_bad_size(asked.max_results, SEARCH_PAGE_ROWS)
    chosen = search_terms.of_experiments(
        scope.seen(Run).select_related("job", "owner", "project").filter(**view_of(asked.run_view_type)),
        _projects(scope, asked.experiment_ids),
    )
    ordered = search_terms.ordered(search_terms.filtered(chosen, asked.filter), asked.order_by)
    start = paging.start_of(asked.page_token)
    rows: list[Run] = list(ordered[start : start + asked.max_results + 1])
    answer: dict[str, Any] = {"runs": answers.runs(rows[: asked.max_results])}
    return paging.with_token(answer, start, asked.max_results, is_more=len(rows) > asked.max_results)


def _projects(scope: Scope, experiment_ids: list[str]) -> set[int | None]:
    """Of the scope's team; ids that it has not are left out, as MLflow does. None stands for the default."""
    if broken := REQUEST_IDS.error(len(experiment_ids)):
        raise bad(broken)
    numbers = [number for one in experiment_ids if (number := whole_number(one)) is not None]
    found: set[int | None] = set(scope.seen(Project).filter(id__in=numbers).values_list("id", flat=True))
    return found | {None} if DEFAULT in experiment_ids else found


def _name(asked: str, tag: str) -> str:
    if asked and tag and asked != tag:
        raise bad(
            "Both 'run_name' argument and 'mlflow.runName' tag are specified, but with different values "
            f"(run_name='{asked}', mlflow.runName='{tag}')."
        )
    return asked or tag or f"run {new_id()[:5]}"
