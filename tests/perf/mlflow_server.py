"""MLflow's own server from PyPI, started as documented."""

from __future__ import annotations

import contextlib
import http.client
import os
import signal
import sqlite3
import subprocess
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import psutil
import psycopg

from tests.perf import peer_environment
from tests.perf.peer_server import PeerServer
from tests.running import free_port, wait_until
from tests.services import Postgresql

MLFLOW = "3.17.2"
START_LIMIT_S = 300  # it starts four workers, which took minutes on two busy cores
EPOCH_MS = 1_700_000_000_000


@contextlib.contextmanager
def mlflow_server(folder: Path, postgresql: Postgresql | None = None) -> Iterator[PeerServer]:
    """`mlflow server` with its files in `folder`, on SQLite (its default) or on this PostgreSQL."""
    port, database = free_port(), postgresql or folder / "mlflow.db"
    store = (
        f"postgresql://fourwalls@/fourwalls?host={postgresql.folder}"
        if postgresql
        else f"sqlite:///{database}"
    )
    programs = peer_environment.peer_python().parent
    command = [
        str(programs / "mlflow"), "server", "--host", "127.0.0.1", "--port", str(port),
        "--backend-store-uri", store, "--artifacts-destination", str(folder / "artifacts"),
    ]  # fmt: skip
    own = {k: v for k, v in os.environ.items() if not k.startswith(("MLFLOW", "DATABASE"))}
    own |= {"MLFLOW_DISABLE_TELEMETRY": "true", "PATH": f"{programs}:{os.environ['PATH']}"}
    with open(folder / "server.log", "wb") as output:
        process = subprocess.Popen(
            command, cwd=folder, env=own, stdout=output, stderr=output, start_new_session=True
        )
    try:
        wait_until(lambda: _is_healthy(port), START_LIMIT_S, "mlflow server")
        yield PeerServer(port, psutil.Process(process.pid), database)
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def fill_series(peer: PeerServer, key: str, series: Iterable[Iterable[float]]) -> list[str]:
    """Create one run with one metric per series by SQL; MLflow's API would take an hour."""
    runs = {f"series{number:026d}": values for number, values in enumerate(series)}
    columns = "key, value, timestamp, run_uuid, step, is_nan"
    with contextlib.closing(_connect(peer)) as database, database:
        _add_runs(database, runs)
        for run, values in runs.items():
            rows = ((key, value, EPOCH_MS + step, run, step, 0) for step, value in enumerate(values))
            _insert(database, "metrics", columns, rows)
        if isinstance(peer.database, Postgresql):
            database.execute("ANALYZE")  # autovacuum would do it a minute later; SQLite has no such process
    return list(runs)


def fill_table(peer: PeerServer, num_runs: int, params: list[str], metrics: list[str]) -> None:
    runs = [f"table{number:027d}" for number in range(num_runs)]
    values = ((key, str((n * 7 + k) % 3), run) for n, run in enumerate(runs) for k, key in enumerate(params))
    last = (
        (key, (n * 7919 + k) % 10_007 / 100, 1, run, 1, 0)
        for n, run in enumerate(runs)
        for k, key in enumerate(metrics)
    )
    with contextlib.closing(_connect(peer)) as database, database:
        _add_runs(database, runs)
        _insert(database, "params", "key, value, run_uuid", values)
        _insert(database, "latest_metrics", "key, value, timestamp, run_uuid, step, is_nan", last)


def _add_runs(database: Any, runs: Iterable[str]) -> None:
    columns = (
        "run_uuid, name, source_type, source_name, entry_point_name, user_id, status, start_time, end_time, "
        "source_version, lifecycle_stage, artifact_uri, experiment_id"
    )
    rows = (
        (
            run,
            run,
            "UNKNOWN",
            "",
            "",
            "bench",
            "FINISHED",
            EPOCH_MS + n,
            EPOCH_MS + 1000 + n,
            "",
            "active",
            "",
            0,
        )
        for n, run in enumerate(runs)
    )
    _insert(database, "runs", columns, rows)


def _connect(peer: PeerServer) -> Any:
    if isinstance(peer.database, Postgresql):
        return psycopg.connect(peer.database.url)
    assert peer.database
    return sqlite3.connect(peer.database, timeout=60)


def _insert(database: Any, table: str, columns: str, rows: Iterable[tuple[object, ...]]) -> None:
    if isinstance(database, sqlite3.Connection):
        marks = ", ".join("?" * (columns.count(",") + 1))
        database.executemany(f"INSERT INTO {table} ({columns}) VALUES ({marks})", rows)
        return
    with database.cursor() as cursor, cursor.copy(f"COPY {table} ({columns}) FROM STDIN") as copy:
        for row in rows:
            copy.write_row(row)


def _is_healthy(port: int) -> bool:
    """Whether the server reads its store; a worker that imports for too long is restarted by its own supervisor."""
    with contextlib.suppress(OSError, http.client.HTTPException):
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
        connection.request("GET", "/api/2.0/mlflow/experiments/get?experiment_id=0")
        return connection.getresponse().status == 200
    return False
