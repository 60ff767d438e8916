"""Logged models, as far as `log_model` and autologging need them."""

from __future__ import annotations

import re
from typing import Any

from django.http import HttpRequest
from msgspec import Struct

from dashboard.access import Scope
from dashboard.mlflow import responses
from dashboard.mlflow.endpoints import DEFAULT, by_method, endpoint, get_active_run
from dashboard.mlflow.errors import invalid, not_found
from dashboard.mlflow.shapes import Pair, RunId
from dashboard.mlflow.vocabulary import millis
from engine.request_limits import FILTER_CHARS, REQUEST_IDS
from jobs.models import SavedModel
from jobs.tracking import saved_models

PREFIX = "LOGGED_MODEL_"
CLAUSE = re.compile(
    r"\s*(?:attributes\.)?(source_run_id|name|model_id)\s*=\s*(?:'([^']*)'|\"([^\"]*)\")\s*", re.IGNORECASE
)
JOINT = re.compile(r"(?<!\s)\s+and\s+", re.IGNORECASE)  # begins at the first of many spaces only: linear
FIELDS = {"source_run_id": "run_id", "name": "name", "model_id": "id"}
MOST = 100


class CreateModel(Struct):
    experiment_id: str
    name: str = ""
    model_type: str = ""
    source_run_id: str = ""
    params: list[Pair] = []
    tags: list[Pair] = []


class ChangeModel(Struct):
    status: str = ""
    params: list[Pair] = []
    tags: list[Pair] = []


class SearchModels(Struct):
    experiment_ids: list[str] = []
    filter: str = ""


@endpoint("POST", CreateModel, writes=True)
def create(scope: Scope, body: CreateModel) -> dict[str, Any]:
    if not body.source_run_id:
        raise invalid("A model belongs to a run: log it within one (source_run_id).")
    run = get_active_run(scope, body.source_run_id)
    made = saved_models.create(
        run,
        body.name or "model",
        kind=body.model_type,
        params=responses.pairs(body.params),
        tags=responses.pairs(body.tags),
        actor=scope.name,
    )
    return {"model": _serialize(made)}


@endpoint("GET")
def get(scope: Scope, request: HttpRequest, model_id: str) -> dict[str, Any]:
    return {"model": _serialize(find(scope, model_id))}


@endpoint("PATCH", ChangeModel, writes=True)
def finalize(scope: Scope, body: ChangeModel, model_id: str) -> dict[str, Any]:
    model = find(scope, model_id)
    saved_models.finish(model, body.status.removeprefix(PREFIX).lower(), actor=scope.name)
    return {"model": _serialize(model)}


@endpoint("DELETE", writes=True)
def delete(scope: Scope, request: HttpRequest, model_id: str) -> None:
    saved_models.archive(find(scope, model_id), actor=scope.name)


@endpoint("PATCH", ChangeModel, writes=True)
def set_tags(scope: Scope, body: ChangeModel, model_id: str) -> dict[str, Any]:
    model = find(scope, model_id)
    saved_models.describe(model, tags=responses.pairs(body.tags))
    return {"model": _serialize(model)}


@endpoint("DELETE", writes=True)
def delete_tag(scope: Scope, request: HttpRequest, model_id: str, key: str) -> None:
    saved_models.describe(find(scope, model_id), tags={key: None})


@endpoint("POST", ChangeModel, writes=True)
def add_params(scope: Scope, body: ChangeModel, model_id: str) -> None:
    saved_models.describe(find(scope, model_id), params=responses.pairs(body.params))


@endpoint("POST", SearchModels)
def search(scope: Scope, body: SearchModels) -> dict[str, Any]:
    """Models of experiments by run, name or id, as clients search before downloading an artifact."""
    if broken := FILTER_CHARS.error(len(body.filter)) or REQUEST_IDS.error(len(body.experiment_ids)):
        raise invalid(broken)
    found = scope.listed(SavedModel).filter(archived_at__isnull=True)
    for text in JOINT.split(body.filter) if body.filter.strip() else ():
        if (clause := CLAUSE.fullmatch(text)) is None:
            raise invalid(
                f"Invalid filter '{text[:200]}': models are found by source_run_id, name or model_id = '...'."
            )
        found = found.filter(**{FIELDS[clause[1].lower()]: clause[2] or clause[3] or ""})
    wanted = set(body.experiment_ids)
    shown = [model for model in found[:1000] if str(model.run.project_id or DEFAULT) in wanted]
    return {"models": [_serialize(model) for model in shown[:MOST]]}


@endpoint("POST", RunId, writes=True)
def outputs(scope: Scope, body: RunId) -> None:
    """The models that a run made; ignored, because each model names its run."""
    get_active_run(scope, body.id)


one = by_method(get, finalize, delete)


def find(scope: Scope, model_id: str) -> SavedModel:
    model = scope.find(SavedModel, model_id)
    if model is None:
        raise not_found(f"Logged model with ID '{model_id}' not found.")
    return model


def folder_from_model(model: SavedModel) -> str:
    """The folder of the model's files among the run's artefacts."""
    return f"models/{model.id}"


def _serialize(model: SavedModel) -> dict[str, Any]:
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
