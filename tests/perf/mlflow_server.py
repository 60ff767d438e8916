"""MLflow's own server from PyPI, started as its documentation says in the virtual environment of tests.perf.peers."""

from __future__ import annotations

import contextlib
import http.client
import os
import signal
import sqlite3
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import msgspec
import psutil

from tests.perf import peers
from tests.running import free_port, wait_until

MLFLOW = "3.17.2"
START_LIMIT_S = 300  # it starts four workers; on two busy cores that took minutes


@dataclass
class Peer:
    """A server and its process tree."""

    port: int
    process: psutil.Process
    database: Path
    token: str = ""

    def cpu_s(self, work: Callable[[], object]) -> float:
        """CPU seconds of all its processes while `work` is done."""
        self._connection.close()  # the server may have given it up since; it opens by itself
        before = self._spent()
        work()
        return self._spent() - before

    @cached_property
    def _connection(self) -> http.client.HTTPConnection:
        """Kept open, as the clients of both do."""
        return http.client.HTTPConnection("127.0.0.1", self.port, timeout=300)

    def send(self, method: str, path: str, body: object = None, kind: str = "application/json") -> dict:
        headers = {"Content-Type": kind}
        if self.token:
            headers["Authorization"] = f"Bearer {self.token}"
        data = body if isinstance(body, bytes | None) else msgspec.json.encode(body)
        try:
            answer = self._answer(method, path, data, headers)
        except (
            ConnectionError,
            http.client.RemoteDisconnected,
        ):  # it gives up what was quiet for five seconds
            self._connection.close()
            answer = self._answer(method, path, data, headers)
        said = answer.read()
        assert answer.status < 300, said[:500]
        return msgspec.json.decode(said)

    def _answer(
        self, method: str, path: str, data: bytes | None, headers: dict[str, str]
    ) -> http.client.HTTPResponse:
        self._connection.request(method, path, data, headers)
        return self._connection.getresponse()

    def _spent(self) -> float:
        total = 0.0
        for process in [self.process, *self.process.children(recursive=True)]:
            with contextlib.suppress(psutil.NoSuchProcess):
                times = process.cpu_times()
                total += times.user + times.system
        return total


@contextlib.contextmanager
def mlflow_server(folder: Path) -> Iterator[Peer]:
    """`mlflow server` with its default store, SQLite, in `folder`."""
    port, database = free_port(), folder / "mlflow.db"
    programs = peers.python().parent
    command = [
        str(programs / "mlflow"), "server", "--host", "127.0.0.1", "--port", str(port),
        "--backend-store-uri", f"sqlite:///{database}", "--artifacts-destination", str(folder / "artifacts"),
    ]  # fmt: skip
    own = {k: v for k, v in os.environ.items() if not k.startswith(("MLFLOW", "DATABASE"))}
    own |= {"MLFLOW_DISABLE_TELEMETRY": "true", "PATH": f"{programs}:{os.environ['PATH']}"}
    with open(folder / "server.log", "wb") as output:
        process = subprocess.Popen(
            command, cwd=folder, env=own, stdout=output, stderr=output, start_new_session=True
        )
    try:
        wait_until(lambda: _is_healthy(port), START_LIMIT_S, "mlflow server")
        yield Peer(port, psutil.Process(process.pid), database)
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def fill_series(peer: Peer, num_runs: int, key: str, steps: int) -> list[str]:
    """Runs with one metric each, by SQL into its own tables: through its API that would take an hour."""
    runs = [f"series{number:026d}" for number in range(num_runs)]
    with contextlib.closing(sqlite3.connect(peer.database, timeout=60)) as database, database:
        _add_runs(database, runs)
        for run in runs:
            rows = ((key, 5 / (1 + step), 1_700_000_000_000 + step, run, step, 0) for step in range(steps))
            database.executemany(
                "INSERT INTO metrics (key, value, timestamp, run_uuid, step, is_nan) VALUES (?, ?, ?, ?, ?, ?)",
                rows,
            )
    return runs


def fill_table(peer: Peer, num_runs: int, params: list[str], metrics: list[str]) -> None:
    runs = [f"table{number:027d}" for number in range(num_runs)]
    with contextlib.closing(sqlite3.connect(peer.database, timeout=60)) as database, database:
        _add_runs(database, runs)
        database.executemany(
            "INSERT INTO params (key, value, run_uuid) VALUES (?, ?, ?)",
            ((key, str((n * 7 + k) % 3), run) for n, run in enumerate(runs) for k, key in enumerate(params)),
        )
        database.executemany(
            "INSERT INTO latest_metrics (key, value, timestamp, run_uuid, step, is_nan) VALUES (?, ?, 1, ?, 1, 0)",
            (
                (key, (n * 7919 + k) % 10_007 / 100, run)
                for n, run in enumerate(runs)
                for k, key in enumerate(metrics)
            ),
        )


def _add_runs(database: sqlite3.Connection, runs: list[str]) -> None:
    database.executemany(
        "INSERT INTO runs (run_uuid, name, source_type, source_name, entry_point_name, user_id, status, start_time, "
        "end_time, source_version, lifecycle_stage, artifact_uri, experiment_id) "
        "VALUES (?, ?, 'UNKNOWN', '', '', 'bench', 'FINISHED', ?, ?, '', 'active', '', 0)",
        ((run, run, 1_700_000_000_000 + n, 1_700_000_001_000 + n) for n, run in enumerate(runs)),
    )


def _is_healthy(port: int) -> bool:
    """Once it reads its store; a worker that imports for too long is ended by its own supervisor and begins again."""
    with contextlib.suppress(OSError, http.client.HTTPException):
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
        connection.request("GET", "/api/2.0/mlflow/experiments/get?experiment_id=0")
        return connection.getresponse().status == 200
    return False
