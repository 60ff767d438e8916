"""Experiments: the projects of the team, and "0", its default."""

from __future__ import annotations

from typing import Any

from dashboard.access import Scope
from dashboard.mlflow import paging, responses, shapes
from dashboard.mlflow.endpoints import endpoint, get_project
from dashboard.mlflow.errors import invalid, not_found
from dashboard.mlflow.filtering import experiments as search_terms
from dashboard.mlflow.vocabulary import refuse_bad_name, view_filter
from engine.request_limits import SEARCH_PAGE_ROWS
from jobs.models import Project
from jobs.tracking import projects

DEFAULT_NAME = "Default"


@endpoint("POST", shapes.CreateExperiment, writes=True)
def create(scope: Scope, body: shapes.CreateExperiment) -> dict[str, str]:
    if body.name == DEFAULT_NAME:
        raise projects.NameTaken(
            f"Experiment '{DEFAULT_NAME}' already exists: it is the default of every team, with id 0."
        )
    for pair in body.tags:
        refuse_bad_name(pair.key, "key")
    project = projects.create(scope.token_team, body.name, actor=scope.name, tags=responses.pairs(body.tags))
    return {"experiment_id": str(project.id)}


@endpoint("GET", shapes.ExperimentId)
def get(scope: Scope, body: shapes.ExperimentId) -> dict[str, Any]:
    return {"experiment": responses.experiment(get_project(scope, body.experiment_id), scope.token_team)}


@endpoint("GET", shapes.ExperimentName)
def get_by_name(scope: Scope, body: shapes.ExperimentName) -> dict[str, Any]:
    project = scope.seen(Project).filter(name=body.experiment_name).first()
    if project is None and body.experiment_name != DEFAULT_NAME:
        raise not_found(f"Could not find experiment with name '{body.experiment_name}'")
    return {"experiment": responses.experiment(project, scope.token_team)}


@endpoint("POST", shapes.UpdateExperiment, writes=True)
def update(scope: Scope, body: shapes.UpdateExperiment) -> None:
    project = _own(scope, body.experiment_id)
    if project.archived_at:
        raise invalid(
            f"The experiment {body.experiment_id} must be in the 'active' state. Current state is deleted."
        )
    if body.new_name is not None:
        projects.rename(project, body.new_name, actor=scope.name)


@endpoint("POST", shapes.ExperimentId, writes=True)
def delete(scope: Scope, body: shapes.ExperimentId) -> None:
    if not projects.archive(_own(scope, body.experiment_id), actor=scope.name):
        raise not_found(f"No active Experiment with id={body.experiment_id} exists")


@endpoint("POST", shapes.ExperimentId, writes=True)
def restore(scope: Scope, body: shapes.ExperimentId) -> None:
    if not projects.restore(_own(scope, body.experiment_id), actor=scope.name):
        raise not_found(f"No deleted Experiment with id={body.experiment_id} exists")


@endpoint("POST", shapes.ExperimentTag, writes=True)
def set_tag(scope: Scope, body: shapes.ExperimentTag) -> None:
    refuse_bad_name(body.key, "key")
    projects.set_tags(_own(scope, body.experiment_id), {body.key: body.value}, actor=scope.name)


@endpoint("POST", shapes.ExperimentTag, writes=True)
def delete_tag(scope: Scope, body: shapes.ExperimentTag) -> None:
    project = _own(scope, body.experiment_id)
    if body.key not in project.tags:
        raise not_found(f"No tag with name: {body.key} in experiment with id {body.experiment_id}")
    projects.drop_tag(project, body.key, actor=scope.name)


@endpoint("POST", shapes.SearchExperiments)
def search(scope: Scope, body: shapes.SearchExperiments) -> dict[str, Any]:
    return _found(scope, body)


@endpoint("GET", shapes.SearchExperiments)
def search_by_query(scope: Scope, body: shapes.SearchExperiments) -> dict[str, Any]:
    return _found(scope, body)


def _found(scope: Scope, body: shapes.SearchExperiments) -> dict[str, Any]:
    """A page of experiments. The default is the oldest, as in MLflow."""
    paging.refuse_bad_size(body.max_results, SEARCH_PAGE_ROWS)
    chosen = scope.seen(Project).filter(**view_filter(body.view_type))
    ordered, has_default = search_terms.apply(chosen, body.filter, body.order_by, scope.token_team)
    start = paging.start_from_token(body.page_token)
    rows: list[Project | None] = list(ordered[start : start + body.max_results + 1])
    if has_default and body.view_type != "DELETED_ONLY" and len(rows) <= body.max_results:
        rows.append(None)
    shown = rows[: body.max_results]
    reply: dict[str, Any] = {"experiments": [responses.experiment(one, scope.token_team) for one in shown]}
    return paging.with_token(reply, start, body.max_results, is_more=len(rows) > body.max_results)


def _own(scope: Scope, experiment_id: str) -> Project:
    """The project of an experiment. Raises MlflowError for the default, which has no row."""
    project = get_project(scope, experiment_id)
    if project is None:
        raise invalid("The default experiment (id 0) cannot be changed. Create another one.")
    return project
