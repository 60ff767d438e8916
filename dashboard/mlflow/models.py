"""Logged models, as far as saving and loading one needs them: what `log_model` and autologging ask for."""

from __future__ import annotations

import re
from typing import Any

from django.http import HttpRequest
from msgspec import Struct

from dashboard.access import Scope
from dashboard.mlflow import answers
from dashboard.mlflow.door import DEFAULT, endpoint, get_active_run, one_of
from dashboard.mlflow.errors import bad, nothing
from dashboard.mlflow.shapes import Pair, RunId
from dashboard.mlflow.words import millis
from engine.request_limits import FILTER_CHARS, REQUEST_IDS
from jobs.models import SavedModel
from jobs.tracking import saved_models

PREFIX = "LOGGED_MODEL_"
CLAUSE = re.compile(
    r"\s*(?:attributes\.)?(source_run_id|name|model_id)\s*=\s*(?:'([^']*)'|\"([^\"]*)\")\s*", re.IGNORECASE
)
FIELDS = {"source_run_id": "run_id", "name": "name", "model_id": "id"}
MOST = 100


class Create(Struct):
    experiment_id: str
    name: str = ""
    model_type: str = ""
    source_run_id: str = ""
    params: list[Pair] = []
    tags: list[Pair] = []


class Change(Struct):
    status: str = ""
    params: list[Pair] = []
    tags: list[Pair] = []


class Search(Struct):
    experiment_ids: list[str] = []
    filter: str = ""


@endpoint("POST", Create, writes=True)
def create(scope: Scope, asked: Create) -> dict[str, Any]:
    if not asked.source_run_id:
        raise bad("A model belongs to a run here: log it inside of one (source_run_id).")
    run = get_active_run(scope, asked.source_run_id)
    made = saved_models.create(
        run,
        asked.name or "model",
        kind=asked.model_type,
        params=answers.pairs(asked.params),
        tags=answers.pairs(asked.tags),
        actor=scope.name,
    )
    return {"model": _plain(made)}


@endpoint("GET")
def get(scope: Scope, request: HttpRequest, model_id: str) -> dict[str, Any]:
    return {"model": _plain(find(scope, model_id))}


@endpoint("PATCH", Change, writes=True)
def finalize(scope: Scope, asked: Change, model_id: str) -> dict[str, Any]:
    model = find(scope, model_id)
    saved_models.finish(model, asked.status.removeprefix(PREFIX).lower(), actor=scope.name)
    return {"model": _plain(model)}


@endpoint("DELETE", writes=True)
def delete(scope: Scope, request: HttpRequest, model_id: str) -> None:
    saved_models.archive(find(scope, model_id), actor=scope.name)


@endpoint("PATCH", Change, writes=True)
def set_tags(scope: Scope, asked: Change, model_id: str) -> dict[str, Any]:
    model = find(scope, model_id)
    saved_models.describe(model, tags=answers.pairs(asked.tags))
    return {"model": _plain(model)}


@endpoint("DELETE", writes=True)
def delete_tag(scope: Scope, request: HttpRequest, model_id: str, key: str) -> None:
    saved_models.describe(find(scope, model_id), tags={key: None})


@endpoint("POST", Change, writes=True)
def add_params(scope: Scope, asked: Change, model_id: str) -> None:
    saved_models.describe(find(scope, model_id), params=answers.pairs(asked.params))


@endpoint("POST", Search)
def search(scope: Scope, asked: Search) -> dict[str, Any]:
    """Of experiments, by run, name or id: what every download of an artifact asks."""
    if broken := FILTER_CHARS.error(len(asked.filter)) or REQUEST_IDS.error(len(asked.experiment_ids)):
        raise bad(broken)
    found = scope.listed(SavedModel).filter(archived_at__isnull=True)
    for said in re.split(r"\s+and\s+", asked.filter, flags=re.IGNORECASE) if asked.filter.strip() else ():
        if (clause := CLAUSE.fullmatch(said)) is None:
            raise bad(
                f"Invalid filter '{said[:200]}': models are found by source_run_id, name or model_id = '...'."
            )
        found = found.filter(**{FIELDS[clause[1].lower()]: clause[2] or clause[3] or ""})
    wanted = set(asked.experiment_ids)
    shown = [model for model in found[:1000] if str(model.run.project_id or DEFAULT) in wanted]
    return {"models": [_plain(model) for model in shown[:MOST]]}


@endpoint("POST", RunId, writes=True)
def outputs(scope: Scope, asked: RunId) -> None:
    """Which models a run made: each model says that itself."""
    get_active_run(scope, asked.id)


one = one_of(get, finalize, delete)


def find(scope: Scope, model_id: str) -> SavedModel:
    model = scope.find(SavedModel, model_id)
    if model is None:
        raise nothing(f"Logged model with ID '{model_id}' not found.")
    return model


def folder_of(model: SavedModel) -> str:
    """Where its files lie among the run's artefacts."""
    return f"models/{model.id}"


def _plain(model: SavedModel) -> dict[str, Any]:
    experiment_id = str(model.run.project_id or DEFAULT)
    return {
        "info": {
            "experiment_id": experiment_id,
            "model_id": model.id,
            "name": model.name,
            "artifact_uri": f"mlflow-artifacts:/{experiment_id}/models/{model.id}/artifacts",
            "creation_timestamp_ms": millis(model.created_at),
            "last_updated_timestamp_ms": millis(model.updated_at),
            "model_type": model.kind,
            "source_run_id": model.run_id,
            "status": PREFIX + model.state.upper(),
            "tags": [{"key": key, "value": value} for key, value in model.tags.items()],
        },
        "data": {"params": [{"key": key, "value": value} for key, value in model.params.items()]},
    }
