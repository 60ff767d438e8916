"""Routes below /api/2.0/mlflow/ and /api/2.0/mlflow-artifacts/."""

from __future__ import annotations

from typing import Any

from django.http import HttpRequest
from django.urls import path

from dashboard.access import Scope
from dashboard.mlflow import artifacts, experiments, history, models, runs, tags, writing
from dashboard.mlflow.endpoints import by_method, endpoint
from dashboard.mlflow.errors import MlflowError

METHODS = ("GET", "POST", "PUT", "PATCH", "DELETE")


TRACKING = {
    "experiments/create": experiments.create,
    "experiments/get": experiments.get,
    "experiments/get-by-name": experiments.get_by_name,
    "experiments/search": by_method(experiments.search, experiments.search_by_query),
    "experiments/update": experiments.update,
    "experiments/delete": experiments.delete,
    "experiments/restore": experiments.restore,
    "experiments/set-experiment-tag": experiments.set_tag,
    "experiments/delete-experiment-tag": experiments.delete_tag,
    "runs/create": runs.create,
    "runs/get": runs.get,
    "runs/update": runs.update,
    "runs/delete": runs.delete,
    "runs/restore": runs.restore,
    "runs/search": runs.search,
    "runs/log-metric": writing.log_metric,
    "runs/log-parameter": writing.log_parameter,
    "runs/log-batch": writing.log_batch,
    "runs/log-inputs": writing.log_inputs,
    "runs/set-tag": tags.set_tag,
    "runs/delete-tag": tags.delete_tag,
    "metrics/get-history": history.get_history,
    "metrics/get-history-bulk": history.get_history_bulk,
    "metrics/get-history-bulk-interval": history.get_history_bulk_interval,
    "runs/outputs": models.outputs,
    "logged-models": models.create,
    "logged-models/search": models.search,
    "logged-models/<str:model_id>": models.one,
    "logged-models/<str:model_id>/params": models.add_params,
    "logged-models/<str:model_id>/tags": models.set_tags,
    "logged-models/<str:model_id>/tags/<str:key>": models.delete_tag,
    "artifacts/list": artifacts.listing_of_run,
}


def _not_offered(scope: Scope, request: HttpRequest, **parts: str) -> Any:
    raise MlflowError("ENDPOINT_NOT_FOUND", f"Fourwalls does not offer {request.method} {request.path}.")


nothing_here = by_method(*(endpoint(method)(_not_offered) for method in METHODS))
tracking = [
    *(path(address, view) for address, view in TRACKING.items()),
    path("<path:rest>", nothing_here),
]
files = [
    path("artifacts", artifacts.listing),
    path("artifacts/<path:path>", artifacts.file),
    path("<path:rest>", nothing_here),
]
