"""Artifacts through the proxy endpoints, in pieces of any total size."""

from __future__ import annotations

from typing import Any, NamedTuple

from django.http import HttpRequest

from dashboard.access import Scope
from dashboard.files.downloads import FileDownload
from dashboard.files.uploads import declared_bytes, read_chunks
from dashboard.mlflow import models, shapes
from dashboard.mlflow.endpoints import DEFAULT, by_method, endpoint, get_run
from dashboard.mlflow.errors import MlflowError, invalid, not_found
from dashboard.mlflow.responses import info
from jobs.models import Run
from jobs.tracking import artefacts, external_runs


class ArtifactLocation(NamedTuple):
    run: Run
    path: str  # '' is the run's own folder


@endpoint("PUT", writes=True)
def upload(scope: Scope, request: HttpRequest, path: str) -> None:
    location = _locate(scope, path)
    if location.run.archived_at:
        raise invalid(f"The run {location.run.id} must be in the 'active' state. Current state is deleted.")
    artefacts.refuse_too_big(location.path, declared_bytes(request))
    artefacts.save(location.run, location.path, read_chunks(request), actor=scope.name)
    external_runs.touch(location.run)


@endpoint("GET")
def download(scope: Scope, request: HttpRequest, path: str) -> FileDownload:
    location = _locate(scope, path)
    found = artefacts.find(location.run, location.path)
    if found is None:
        raise not_found(f"Run {location.run.id} has no artifact '{location.path}'")
    try:
        return FileDownload(artefacts.find_file(found), found.path.rpartition("/")[2], found.size_bytes)
    except artefacts.ArtefactMissing as error:
        raise MlflowError("INTERNAL_ERROR", str(error)) from None


@endpoint("DELETE", writes=True)
def delete(scope: Scope, request: HttpRequest, path: str) -> None:
    location = _locate(scope, path)
    if not artefacts.delete(location.run, location.path, actor=scope.name):
        raise not_found(f"Run {location.run.id} has no artifact '{location.path}'")


@endpoint("GET", shapes.ArtifactPath)
def listing(scope: Scope, body: shapes.ArtifactPath) -> dict[str, Any]:
    """The files of a folder, with paths relative to it."""
    location = _locate(scope, body.path)
    above = len(location.path) + 1 if location.path else 0
    return {
        "files": [
            _file(entry, entry.path[above:]) for entry in artefacts.listing(location.run, location.path)
        ]
    }


@endpoint("GET", shapes.ListArtifacts)
def listing_of_run(scope: Scope, body: shapes.ListArtifacts) -> dict[str, Any]:
    """The files of a folder of a run, with paths from the run's root."""
    run = get_run(scope, body.id)
    if body.path:
        artefacts.refuse_bad_path(body.path)
    files = [_file(entry, entry.path) for entry in artefacts.listing(run, body.path)]
    return {"root_uri": info(run)["artifact_uri"], "files": files}


file = by_method(upload, download, delete)


def _locate(scope: Scope, path: str) -> ArtifactLocation:
    """`path`: <experiment>/<run>/artifacts/<path>, or <experiment>/models/<model>/artifacts/<path>, with the run's own
    experiment."""
    experiment_id, _, rest = path.strip("/").partition("/")
    run_id, _, rest = rest.partition("/")
    folder, _, name = rest.partition("/")
    if run_id == "models":
        model_id, _, rest = rest.partition("/")
        folder, _, name = rest.partition("/")
        model = models.find(scope, model_id)
        run, name = model.run, "/".join([models.folder_from_model(model), *([name] if name else [])])
    else:
        run = get_run(scope, run_id)
    if folder != "artifacts":
        raise invalid(f"Invalid path '{path[:200]}': <experiment>/<run>/artifacts/<path> was expected.")
    if str(run.project_id or DEFAULT) != experiment_id:
        raise not_found(f"Experiment {experiment_id} has no run {run_id}")
    if name:
        artefacts.refuse_bad_path(name)
    return ArtifactLocation(run, name)


def _file(entry: artefacts.FolderEntry, path: str) -> dict[str, Any]:
    if entry.artefact is None:
        return {"path": path, "is_dir": True}
    return {"path": path, "is_dir": False, "file_size": entry.artefact.size_bytes}
