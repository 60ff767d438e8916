"""MLflow's SQLite store, in the schemas of all its versions."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

from jobs.imports.foreign import ForeignRun, ForeignWriter, ImportProblems, ImportRefused
from jobs.imports.mlflow_run import DELETED, build_run

TEXT_CHARS = 1024 * 1024
PROBLEMS_A_RUN = 5
SQLITE_MAGIC = b"SQLite format 3\0"


class _RowsByRun:
    """Rows of a query in the order of run_uuid, handed out run by run: one pass instead of one query for each run,
    which scans the whole table in schemas without an index."""

    def __init__(self, cursor: sqlite3.Cursor) -> None:
        self._cursor = cursor
        self._next = cursor.fetchone()

    def take(self, uuid: str) -> Iterator[tuple[Any, ...]]:
        while self._next is not None and str(self._next[0]) < uuid:
            self._next = self._cursor.fetchone()
        while self._next is not None and str(self._next[0]) == uuid:
            yield self._next[1:]
            self._next = self._cursor.fetchone()


def read_sqlite(path: Path, problems: ImportProblems) -> Iterator[ForeignRun]:
    """Read all runs. Raises ImportRefused."""
    try:
        with path.open("rb") as file:
            if file.read(len(SQLITE_MAGIC)) != SQLITE_MAGIC:
                raise ImportRefused(f"{path} is not an SQLite store of MLflow.")
        with closing(sqlite3.connect(f"{path.resolve().as_uri()}?mode=ro", uri=True)) as database:
            database.text_factory = lambda data: data.decode("utf-8", "replace")
            database.execute("PRAGMA trusted_schema = OFF")
            yield from _read_database(database, path, problems)
    except (sqlite3.Error, OSError) as error:
        raise ImportRefused(f"{path} is not an SQLite store of MLflow, or is damaged: {error}.") from None


def _read_database(
    database: sqlite3.Connection, path: Path, problems: ImportProblems
) -> Iterator[ForeignRun]:
    runs, others = _columns(database, "runs"), _columns(database, "experiments")
    if "run_uuid" not in runs or "experiment_id" not in others:
        raise ImportRefused(f"{path} is not an SQLite store of MLflow: it has no table of runs.")
    projects = {
        row[0]: (str(row[1] or ""), row[2] == DELETED)
        for row in database.execute(
            f"SELECT experiment_id, {_or_null('name', others)}, {_or_null('lifecycle_stage', others)} FROM experiments"
        )
    }
    metrics = _columns(database, "metrics")
    points = _RowsByRun(
        database.execute(
            f"SELECT run_uuid, key, value, {_or_null('timestamp', metrics)}, {_or_null('step', metrics)}, "
            f"{_or_null('is_nan', metrics)} FROM metrics ORDER BY run_uuid, rowid"
        )
    )
    params, tags = _pairs(database, "params"), _pairs(database, "tags")
    inputs = _RowsByRun(_inputs(database))
    cursor = database.execute(f"SELECT {', '.join(runs)} FROM runs ORDER BY run_uuid")
    for values in cursor:
        row = dict(zip(runs, values, strict=True))
        uuid = str(row["run_uuid"])
        project, is_deleted = projects.get(row.get("experiment_id"), ("", False))
        run = build_run(row, project, _texts(tags.take(uuid)), in_deleted=is_deleted)
        run.params = _texts(params.take(uuid))
        run.writers.append(_read_points(points.take(uuid), path, uuid, problems))
        if count := sum(1 for _ in inputs.take(uuid)):
            run.left_out["data sets and models"] += count
        yield run


def _read_points(
    rows: Iterator[tuple[Any, ...]], path: Path, uuid: str, problems: ImportProblems
) -> ForeignWriter:
    writer = ForeignWriter("metrics")
    refused = 0
    for key, value, timestamp, step, is_nan in rows:
        try:
            number = float("nan") if is_nan or value is None else float(value)
            writer.add(str(key), int(step or 0), int(timestamp) / 1000, number)
        except (TypeError, ValueError, OverflowError):
            refused += 1
            if refused <= PROBLEMS_A_RUN:
                shown = f"{str(key)[:60]} = {str(value)[:40]} at {str(timestamp)[:40]}, step {str(step)[:40]}"
                problems.add(path, f"run {uuid}: {shown} is not a metric")
    if refused > PROBLEMS_A_RUN:
        problems.add(path, f"run {uuid}: {refused - PROBLEMS_A_RUN:,} more rows that are no metrics")
    writer.report_refused(problems, f"{path}, run {uuid},")
    return writer


def _columns(database: sqlite3.Connection, table: str) -> list[str]:
    """The columns of a table, by their real names; none for a view, which might compute without end."""
    is_table = database.execute(
        "SELECT 1 FROM sqlite_master WHERE type = 'table' AND name = ?", [table]
    ).fetchone()
    if not is_table:
        return []
    names = [str(row[1]) for row in database.execute(f"PRAGMA table_info({table})")]
    return [name for name in names if name.isidentifier()]


def _or_null(column: str, columns: list[str]) -> str:
    return column if column in columns else "NULL"


def _pairs(database: sqlite3.Connection, table: str) -> _RowsByRun:
    if "key" not in _columns(database, table):
        return _RowsByRun(database.execute("SELECT NULL WHERE 0"))
    return _RowsByRun(database.execute(f"SELECT run_uuid, key, value FROM {table} ORDER BY run_uuid, key"))


def _inputs(database: sqlite3.Connection) -> sqlite3.Cursor:
    if "destination_id" not in _columns(database, "inputs"):
        return database.execute("SELECT NULL WHERE 0")
    return database.execute("SELECT destination_id FROM inputs WHERE destination_type = 'RUN' ORDER BY 1")


def _texts(rows: Iterator[tuple[Any, ...]]) -> dict[str, str]:
    return {str(key): "" if value is None else str(value)[:TEXT_CHARS] for key, value in rows}
