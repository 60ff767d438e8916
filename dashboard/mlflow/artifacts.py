"""Artifacts through the proxy endpoints: uploads and downloads in pieces, whatever their size."""

from __future__ import annotations

from typing import Any, NamedTuple

from django.http import Http404, HttpRequest

from dashboard.access import Scope
from dashboard.files.downloads import FileDownload
from dashboard.files.uploads import pieces_of
from dashboard.mlflow import models, shapes
from dashboard.mlflow.answers import info
from dashboard.mlflow.door import DEFAULT, endpoint, get_run, one_of
from dashboard.mlflow.errors import Refused, bad, nothing
from jobs.models import Run
from jobs.tracking import artefacts, external_runs


class Spot(NamedTuple):
    run: Run
    path: str  # '' is the run's own folder


@endpoint("PUT", writes=True)
def upload(scope: Scope, request: HttpRequest, path: str) -> None:
    spot = _spot(scope, path)
    if spot.run.archived_at:
        raise bad(f"The run {spot.run.id} must be in the 'active' state. Current state is deleted.")
    said = request.headers.get("Content-Length", "")
    if said.isdigit():
        artefacts.refuse_too_big(spot.path, int(said))
    artefacts.save(spot.run, spot.path, pieces_of(request), actor=scope.name)
    external_runs.touch(spot.run)


@endpoint("GET")
def download(scope: Scope, request: HttpRequest, path: str) -> FileDownload:
    spot = _spot(scope, path)
    found = artefacts.find(spot.run, spot.path)
    if found is None:
        raise nothing(f"Run {spot.run.id} has no artifact '{spot.path}'")
    try:
        return FileDownload(artefacts.file_of(found), found.path.rpartition("/")[2], found.size_bytes)
    except Http404:
        raise Refused(
            "INTERNAL_ERROR", f"The file of artifact '{spot.path}' is not on this server's disk."
        ) from None


@endpoint("DELETE", writes=True)
def delete(scope: Scope, request: HttpRequest, path: str) -> None:
    spot = _spot(scope, path)
    if not artefacts.delete(spot.run, spot.path, actor=scope.name):
        raise nothing(f"Run {spot.run.id} has no artifact '{spot.path}'")


@endpoint("GET", shapes.ArtifactPath)
def listing(scope: Scope, asked: shapes.ArtifactPath) -> dict[str, Any]:
    """Paths relative to the folder that was asked for."""
    spot = _spot(scope, asked.path)
    above = len(spot.path) + 1 if spot.path else 0
    return {"files": [_file(entry, entry.path[above:]) for entry in artefacts.listing(spot.run, spot.path)]}


@endpoint("GET", shapes.ListArtifacts)
def listing_of_run(scope: Scope, asked: shapes.ListArtifacts) -> dict[str, Any]:
    """The same for a run: paths from its root."""
    run = get_run(scope, asked.id)
    if asked.path:
        artefacts.refuse_bad_path(asked.path)
    files = [_file(entry, entry.path) for entry in artefacts.listing(run, asked.path)]
    return {"root_uri": info(run)["artifact_uri"], "files": files}


file = one_of(upload, download, delete)


def _spot(scope: Scope, path: str) -> Spot:
    """`path` is <experiment>/<run>/artifacts/<path>, or <experiment>/models/<model>/artifacts/<path>.
    One of another experiment than the run's is none."""
    experiment_id, _, rest = path.strip("/").partition("/")
    run_id, _, rest = rest.partition("/")
    folder, _, name = rest.partition("/")
    if run_id == "models":
        model_id, _, rest = rest.partition("/")
        folder, _, name = rest.partition("/")
        model = models.find(scope, model_id)
        run, name = model.run, "/".join([models.folder_of(model), *([name] if name else [])])
    else:
        run = get_run(scope, run_id)
    if folder != "artifacts":
        raise bad(f"Invalid path '{path[:200]}': <experiment>/<run>/artifacts/<path> was expected.")
    if str(run.project_id or DEFAULT) != experiment_id:
        raise nothing(f"Experiment {experiment_id} has no run {run_id}")
    if name:
        artefacts.refuse_bad_path(name)
    return Spot(run, name)


def _file(entry: artefacts.FolderEntry, path: str) -> dict[str, Any]:
    if entry.artefact is None:
        return {"path": path, "is_dir": True}
    return {"path": path, "is_dir": False, "file_size": entry.artefact.size_bytes}
