"""Experiments: the team's projects, and "0", its default."""

from __future__ import annotations

from typing import Any

from dashboard.access import Scope
from dashboard.mlflow import answers, paging, shapes
from dashboard.mlflow.door import endpoint, get_project
from dashboard.mlflow.errors import bad, nothing
from dashboard.mlflow.filtering import experiments as search_terms
from dashboard.mlflow.words import refuse_bad_name, view_of
from engine.request_limits import SEARCH_PAGE_ROWS
from jobs.models import Project
from jobs.tracking import projects

DEFAULT_NAME = "Default"


@endpoint("POST", shapes.CreateExperiment, writes=True)
def create(scope: Scope, asked: shapes.CreateExperiment) -> dict[str, str]:
    if asked.name == DEFAULT_NAME:
        raise projects.NameTaken(
            f"Experiment '{DEFAULT_NAME}' already exists: it is every team's own, with id 0."
        )
    for pair in asked.tags:
        refuse_bad_name(pair.key, "key")
    project = projects.create(scope.team, asked.name, actor=scope.name, tags=answers.pairs(asked.tags))
    return {"experiment_id": str(project.id)}


@endpoint("GET", shapes.ExperimentId)
def get(scope: Scope, asked: shapes.ExperimentId) -> dict[str, Any]:
    return {"experiment": answers.experiment(get_project(scope, asked.experiment_id), scope.team)}


@endpoint("GET", shapes.ExperimentName)
def get_by_name(scope: Scope, asked: shapes.ExperimentName) -> dict[str, Any]:
    project = scope.seen(Project).filter(name=asked.experiment_name).first()
    if project is None and asked.experiment_name != DEFAULT_NAME:
        raise nothing(f"Could not find experiment with name '{asked.experiment_name}'")
    return {"experiment": answers.experiment(project, scope.team)}


@endpoint("POST", shapes.UpdateExperiment, writes=True)
def update(scope: Scope, asked: shapes.UpdateExperiment) -> None:
    project = _own(scope, asked.experiment_id)
    if project.archived_at:
        raise bad(
            f"The experiment {asked.experiment_id} must be in the 'active' state. Current state is deleted."
        )
    if asked.new_name is not None:
        projects.rename(project, asked.new_name, actor=scope.name)


@endpoint("POST", shapes.ExperimentId, writes=True)
def delete(scope: Scope, asked: shapes.ExperimentId) -> None:
    if not projects.archive(_own(scope, asked.experiment_id), actor=scope.name):
        raise nothing(f"No active Experiment with id={asked.experiment_id} exists")


@endpoint("POST", shapes.ExperimentId, writes=True)
def restore(scope: Scope, asked: shapes.ExperimentId) -> None:
    if not projects.restore(_own(scope, asked.experiment_id), actor=scope.name):
        raise nothing(f"No deleted Experiment with id={asked.experiment_id} exists")


@endpoint("POST", shapes.ExperimentTag, writes=True)
def set_tag(scope: Scope, asked: shapes.ExperimentTag) -> None:
    refuse_bad_name(asked.key, "key")
    projects.set_tags(_own(scope, asked.experiment_id), {asked.key: asked.value}, actor=scope.name)


@endpoint("POST", shapes.ExperimentTag, writes=True)
def delete_tag(scope: Scope, asked: shapes.ExperimentTag) -> None:
    project = _own(scope, asked.experiment_id)
    if asked.key not in project.tags:
        raise nothing(f"No tag with name: {asked.key} in experiment with id {asked.experiment_id}")
    projects.drop_tag(project, asked.key, actor=scope.name)


@endpoint("POST", shapes.SearchExperiments)
def search(scope: Scope, asked: shapes.SearchExperiments) -> dict[str, Any]:
    return _found(scope, asked)


@endpoint("GET", shapes.SearchExperiments)
def search_by_query(scope: Scope, asked: shapes.SearchExperiments) -> dict[str, Any]:
    return _found(scope, asked)


def _found(scope: Scope, asked: shapes.SearchExperiments) -> dict[str, Any]:
    """The default among them: as MLflow has it, the oldest of all."""
    paging.refuse_bad_size(asked.max_results, SEARCH_PAGE_ROWS)
    chosen = scope.seen(Project).filter(**view_of(asked.view_type))
    ordered, has_default = search_terms.apply(chosen, asked.filter, asked.order_by, scope.team)
    start = paging.start_of(asked.page_token)
    rows: list[Project | None] = list(ordered[start : start + asked.max_results + 1])
    if has_default and asked.view_type != "DELETED_ONLY" and len(rows) <= asked.max_results:
        rows.append(None)
    shown = rows[: asked.max_results]
    answer: dict[str, Any] = {"experiments": [answers.experiment(one, scope.team) for one in shown]}
    return paging.with_token(answer, start, asked.max_results, is_more=len(rows) > asked.max_results)


def _own(scope: Scope, experiment_id: str) -> Project:
    """A project that can be changed: the default has no row."""
    project = get_project(scope, experiment_id)
    if project is None:
        raise bad(
            "The default experiment (id 0) is the team's own and cannot be changed. Create one of your own."
        )
    return project
