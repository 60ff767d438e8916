"""MLflow's own stores: a folder mlruns/ of plain files, or an SQLite file."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import yaml

from engine.request_limits import PARAM_CHARS, TAG_CHARS
from jobs.imports.foreign import ForeignRun, ImportRefused, Part, as_time, metric_name
from jobs.series import Point

# RunStatus by number in files and by name in databases -> our words.
STATES = {
    "RUNNING": "running",
    "SCHEDULED": "queued",
    "FINISHED": "succeeded",
    "FAILED": "failed",
    "KILLED": "cancelled",
}
STATES |= dict(zip("12345", ["running", "queued", "succeeded", "failed", "cancelled"], strict=True))
NOTE, NAME, PARENT = "mlflow.note.content", "mlflow.runName", "mlflow.parentRunId"
DEFAULT = "Default"


def runs(root: Path) -> Iterator[ForeignRun]:
    """Raises ImportRefused for what is neither a folder of experiments nor an SQLite file of MLflow."""
    if root.is_file():
        yield from _of_sqlite(root)
        return
    experiments = sorted(
        path.parent for path in [*root.glob("*/meta.yaml"), *root.glob(".trash/*/meta.yaml")]
    )
    if not experiments:
        raise ImportRefused(f"{root} is no store of MLflow: it has no */meta.yaml, and is no SQLite file.")
    for experiment in experiments:
        about = _meta(experiment / "meta.yaml")
        for path in sorted(experiment.glob("*/meta.yaml")):
            yield _of_folder(path.parent, _meta(path), str(about.get("name", "")))


def _meta(path: Path) -> dict[str, Any]:
    try:
        return dict(yaml.safe_load(path.read_text()) or {})
    except (yaml.YAMLError, ValueError, OSError) as error:
        raise ImportRefused(f"{path} cannot be read: {error}") from None


def _of_folder(folder: Path, about: dict[str, Any], project: str) -> ForeignRun:
    tags = {name: path.read_text()[:TAG_CHARS] for name, path in _files(folder / "tags")}
    run = _run(
        about | {"run_uuid": about.get("run_id", folder.name), "name": about.get("run_name")}, project, tags
    )
    run.params = {
        name: path.read_text().strip("\n")[:PARAM_CHARS] for name, path in _files(folder / "params")
    }
    for name, path in _files(folder / "metrics"):
        run.parts.append(Part(1, metric_name(name)[:100], list(_lines(path, metric_name(name)))))
    _count_artefacts(run, folder / "artifacts")
    return run


def _count_artefacts(run: ForeignRun, folder: Path) -> None:
    if count := sum(path.is_file() for path in folder.rglob("*")):
        run.left_out["artefacts"] += count


def _files(folder: Path) -> list[tuple[str, Path]]:
    """Names may hold slashes: they are folders then."""
    found = (path for path in folder.rglob("*") if path.is_file())
    return sorted((str(path.relative_to(folder)), path) for path in found)


def _lines(path: Path, name: str) -> Iterator[Point]:
    """`timestamp value [step]`, one a line."""
    for number, line in enumerate(path.read_text().splitlines(), 1):
        words = line.split(" ")
        try:
            step = int(words[2]) if len(words) > 2 else 0
            yield Point(name, "run", step, int(words[0]) / 1000, float(words[1]))
        except (ValueError, IndexError):
            raise ImportRefused(f"{path}, line {number}: '{line[:80]}' is no metric of MLflow.") from None


def _of_sqlite(path: Path) -> Iterator[ForeignRun]:
    try:
        with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as database:
            database.row_factory = sqlite3.Row
            rows = database.execute(
                "SELECT r.*, e.name AS project FROM runs r JOIN experiments e USING (experiment_id) ORDER BY r.run_uuid"
            ).fetchall()
            for row in rows:
                yield _of_row(database, dict(row))
    except sqlite3.DatabaseError as error:
        raise ImportRefused(f"{path} is no SQLite store of MLflow: {error}.") from None


def _of_row(database: sqlite3.Connection, row: dict[str, Any]) -> ForeignRun:
    def pairs(table: str) -> dict[str, str]:
        rows = database.execute(f"SELECT key, value FROM {table} WHERE run_uuid = ?", [row["run_uuid"]])
        return {key: value or "" for key, value in rows}

    run = _run(row, row["project"], pairs("tags"))
    run.params = {key: value[:PARAM_CHARS] for key, value in pairs("params").items()}
    metrics = database.execute(
        "SELECT key, value, timestamp, step, is_nan FROM metrics WHERE run_uuid = ? ORDER BY rowid",
        [row["run_uuid"]],
    )
    points = [
        Point(metric_name(key), "run", step, at / 1000, float("nan") if is_nan else value)
        for key, value, at, step, is_nan in metrics
    ]
    run.parts = [Part(1, "import", points)]
    return run


def _run(about: dict[str, Any], project: str, tags: dict[str, str]) -> ForeignRun:
    uuid = str(about["run_uuid"])
    name = about.get("name") or tags.get(NAME) or uuid
    run = ForeignRun(
        key=f"mlflow:{uuid}",
        origin="mlflow",
        name=str(name),
        project="" if project == DEFAULT else project,
        state=STATES.get(str(about.get("status")), "succeeded"),
        started_at=as_time(_seconds(about.get("start_time"))),
        ended_at=as_time(_seconds(about.get("end_time"))),
        note=tags.get(NOTE, ""),
        parent_key=f"mlflow:{tags[PARENT]}" if PARENT in tags else "",
        tags={key: value for key, value in tags.items() if key not in (NOTE, NAME)},
    )
    if about.get("lifecycle_stage") == "deleted":
        run.tags["mlflow.lifecycle_stage"] = "deleted"
    return run


def _seconds(milliseconds: Any) -> float | None:
    return None if milliseconds is None else int(milliseconds) / 1000
