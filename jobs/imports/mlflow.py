"""MLflow stores: a folder mlruns/ of text files, or an SQLite file."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import yaml

from engine.request_limits import PARAM_CHARS, TAG_CHARS
from jobs.imports.foreign import ForeignRun, ForeignStream, ImportRefused, as_time, metric_name
from jobs.series import Point

# RunStatus (a number in files, a name in databases) -> our state.
STATES = {
    "RUNNING": "running",
    "SCHEDULED": "queued",
    "FINISHED": "succeeded",
    "FAILED": "failed",
    "KILLED": "cancelled",
}
STATES |= dict(zip("12345", ["running", "queued", "succeeded", "failed", "cancelled"], strict=True))
NOTE_TAG, NAME_TAG, PARENT_TAG = "mlflow.note.content", "mlflow.runName", "mlflow.parentRunId"
DEFAULT_PROJECT = "Default"


def runs(root: Path) -> Iterator[ForeignRun]:
    """Read all runs of a store, which is a folder of experiments or MLflow's SQLite file. Raises ImportRefused."""
    if root.is_file():
        yield from _runs_from_sqlite(root)
        return
    experiments = sorted(
        path.parent for path in [*root.glob("*/meta.yaml"), *root.glob(".trash/*/meta.yaml")]
    )
    if not experiments:
        raise ImportRefused(
            f"{root} is not an MLflow store: it has no */meta.yaml and is not an SQLite file."
        )
    for experiment in experiments:
        meta = _read_meta(experiment / "meta.yaml")
        for path in sorted(experiment.glob("*/meta.yaml")):
            yield _run_from_folder(path.parent, _read_meta(path), str(meta.get("name", "")))


def _read_meta(path: Path) -> dict[str, Any]:
    try:
        return dict(yaml.safe_load(path.read_text()) or {})
    except (yaml.YAMLError, ValueError, OSError) as error:
        raise ImportRefused(f"{path} cannot be read: {error}") from None


def _run_from_folder(folder: Path, meta: dict[str, Any], project: str) -> ForeignRun:
    tags = {name: path.read_text()[:TAG_CHARS] for name, path in _list_files(folder / "tags")}
    run = _build_run(
        meta | {"run_uuid": meta.get("run_id", folder.name), "name": meta.get("run_name")}, project, tags
    )
    run.params = {
        name: path.read_text().strip("\n")[:PARAM_CHARS] for name, path in _list_files(folder / "params")
    }
    for name, path in _list_files(folder / "metrics"):
        run.streams.append(
            ForeignStream(1, metric_name(name)[:100], list(_read_points(path, metric_name(name))))
        )
    _count_artefacts(run, folder / "artifacts")
    return run


def _count_artefacts(run: ForeignRun, folder: Path) -> None:
    if count := sum(path.is_file() for path in folder.rglob("*")):
        run.left_out["artefacts"] += count


def _list_files(folder: Path) -> list[tuple[str, Path]]:
    """(name, path) of all files below a folder; a slash in a name makes it a folder on disk."""
    found = (path for path in folder.rglob("*") if path.is_file())
    return sorted((str(path.relative_to(folder)), path) for path in found)


def _read_points(path: Path, name: str) -> Iterator[Point]:
    """One point per line: `timestamp value [step]`."""
    for number, line in enumerate(path.read_text().splitlines(), 1):
        fields = line.split(" ")
        try:
            step = int(fields[2]) if len(fields) > 2 else 0
            yield Point(name, "run", step, int(fields[0]) / 1000, float(fields[1]))
        except (ValueError, IndexError):
            raise ImportRefused(f"{path}, line {number}: '{line[:80]}' is not an MLflow metric.") from None


def _runs_from_sqlite(path: Path) -> Iterator[ForeignRun]:
    try:
        with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as database:
            database.row_factory = sqlite3.Row
            rows = database.execute(
                "SELECT r.*, e.name AS project FROM runs r JOIN experiments e USING (experiment_id) ORDER BY r.run_uuid"
            ).fetchall()
            for row in rows:
                yield _run_from_row(database, dict(row))
    except sqlite3.DatabaseError as error:
        raise ImportRefused(f"{path} is not an SQLite store of MLflow: {error}.") from None


def _run_from_row(database: sqlite3.Connection, row: dict[str, Any]) -> ForeignRun:
    def pairs(table: str) -> dict[str, str]:
        rows = database.execute(f"SELECT key, value FROM {table} WHERE run_uuid = ?", [row["run_uuid"]])
        return {key: value or "" for key, value in rows}

    run = _build_run(row, row["project"], pairs("tags"))
    run.params = {key: value[:PARAM_CHARS] for key, value in pairs("params").items()}
    metrics = database.execute(
        "SELECT key, value, timestamp, step, is_nan FROM metrics WHERE run_uuid = ? ORDER BY rowid",
        [row["run_uuid"]],
    )
    points = [
        Point(metric_name(key), "run", step, at / 1000, float("nan") if is_nan else value)
        for key, value, at, step, is_nan in metrics
    ]
    run.streams = [ForeignStream(1, "import", points)]
    return run


def _build_run(meta: dict[str, Any], project: str, tags: dict[str, str]) -> ForeignRun:
    uuid = str(meta["run_uuid"])
    name = meta.get("name") or tags.get(NAME_TAG) or uuid
    run = ForeignRun(
        key=f"mlflow:{uuid}",
        origin="mlflow",
        name=str(name),
        project="" if project == DEFAULT_PROJECT else project,
        state=STATES.get(str(meta.get("status")), "succeeded"),
        started_at=as_time(_seconds(meta.get("start_time"))),
        ended_at=as_time(_seconds(meta.get("end_time"))),
        note=tags.get(NOTE_TAG, ""),
        parent_key=f"mlflow:{tags[PARENT_TAG]}" if PARENT_TAG in tags else "",
        tags={key: value for key, value in tags.items() if key not in (NOTE_TAG, NAME_TAG)},
    )
    if meta.get("lifecycle_stage") == "deleted":
        run.tags["mlflow.lifecycle_stage"] = "deleted"
    return run


def _seconds(milliseconds: Any) -> float | None:
    return None if milliseconds is None else int(milliseconds) / 1000
