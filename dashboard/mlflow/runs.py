"""Runs: create, read, update, archive, search."""

from __future__ import annotations

from typing import Any

from dashboard.access import Scope
from dashboard.mlflow import paging, responses, shapes
from dashboard.mlflow.endpoints import DEFAULT, endpoint, get_active_run, get_project, get_run
from dashboard.mlflow.errors import invalid
from dashboard.mlflow.filtering import runs as search_terms
from dashboard.mlflow.tags import refuse_bad_tags, set_tags
from dashboard.mlflow.vocabulary import (
    NAME,
    NOTE,
    PARENT,
    TAG_COLUMNS,
    moment,
    state_from_status,
    view_filter,
)
from dashboard.mlflow.writing import STREAM
from engine.request_limits import REQUEST_IDS, SEARCH_PAGE_ROWS, whole_number
from jobs.ids import new_id
from jobs.models import Project, Run
from jobs.series import idempotent_append
from jobs.states.jobs import FINAL, JobState
from jobs.tracking import external_runs, run_annotations


@endpoint("POST", shapes.CreateRun, writes=True)
def create(scope: Scope, body: shapes.CreateRun) -> dict[str, Any]:
    project = get_project(scope, body.experiment_id)
    if project is not None and project.archived_at:
        raise invalid(f"The experiment {project.id} must be in the 'active' state. Current state is deleted.")
    refuse_bad_tags(body.tags)
    tags = responses.pairs(body.tags)
    parent = get_run(scope, tags[PARENT]) if PARENT in tags else None
    run = external_runs.create(
        team=scope.token_team,
        owner=scope.user,
        name=_name(body.run_name, tags.get(NAME, "")),
        origin="mlflow",
        project=project,
        parent=parent,
        started_at=moment(body.start_time or None, "start_time"),
        tags={key: value for key, value in tags.items() if key not in TAG_COLUMNS},
    )
    if tags.get(NOTE):
        run_annotations.change(run, actor=scope.name, note=tags[NOTE])
    return {"run": responses.run(get_run(scope, run.id))}


@endpoint("GET", shapes.RunId)
def get(scope: Scope, body: shapes.RunId) -> dict[str, Any]:
    return {"run": responses.run(get_run(scope, body.id))}


@endpoint("POST", shapes.UpdateRun, writes=True)
def update(scope: Scope, body: shapes.UpdateRun) -> dict[str, Any]:
    run = get_active_run(scope, body.id)
    if body.run_name:
        set_tags(scope, run, {NAME: body.run_name})
    if body.status is not None:
        ended_at = moment(body.end_time or None, "end_time")
        state = state_from_status(body.status)
        external_runs.set_state(run, state, actor=scope.name, ended_at=ended_at if state in FINAL else None)
        if state == JobState.RUNNING:  # what start_run(run_id=...) sends: a script goes on with the run
            idempotent_append.start_session(run.id, STREAM)
    return {"run_info": responses.info(get_run(scope, run.id))}


@endpoint("POST", shapes.RunId, writes=True)
def delete(scope: Scope, body: shapes.RunId) -> None:
    run_annotations.archive(Run.objects.filter(id=get_run(scope, body.id).id), actor=scope.name)


@endpoint("POST", shapes.RunId, writes=True)
def restore(scope: Scope, body: shapes.RunId) -> None:
    run_annotations.restore(Run.objects.filter(id=get_run(scope, body.id).id), actor=scope.name)


@endpoint("POST", shapes.SearchRuns)
def search(scope: Scope, body: shapes.SearchRuns) -> dict[str, Any]:
    paging.refuse_bad_size(body.max_results, SEARCH_PAGE_ROWS)
    chosen = search_terms.in_experiments(
        scope.seen(Run).select_related("job", "owner", "project").filter(**view_filter(body.run_view_type)),
        _projects(scope, body.experiment_ids),
    )
    ordered = search_terms.ordered(search_terms.filtered(chosen, body.filter), body.order_by)
    start = paging.start_from_token(body.page_token)
    rows: list[Run] = list(ordered[start : start + body.max_results + 1])
    reply: dict[str, Any] = {"runs": responses.runs(rows[: body.max_results])}
    return paging.with_token(reply, start, body.max_results, is_more=len(rows) > body.max_results)


def _projects(scope: Scope, experiment_ids: list[str]) -> set[int | None]:
    """The team's projects of these experiments, None for the default. Unknown ids are ignored, as in MLflow."""
    if broken := REQUEST_IDS.error(len(experiment_ids)):
        raise invalid(broken)
    numbers = [number for one in experiment_ids if (number := whole_number(one)) is not None]
    found: set[int | None] = set(scope.seen(Project).filter(id__in=numbers).values_list("id", flat=True))
    return found | {None} if DEFAULT in experiment_ids else found


def _name(name: str, tag: str) -> str:
    if name and tag and name != tag:
        raise invalid(
            "Both 'run_name' argument and 'mlflow.runName' tag are specified, but with different values "
            f"(run_name='{name}', mlflow.runName='{tag}')."
        )
    return name or tag or f"run {new_id()[:5]}"
