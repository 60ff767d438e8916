"""Points over HTTP to a real server: CPU time per point, points per second, bytes on disk.

MLflow 3.17.2's log-batch of 1,000 took its server 227 us a point on SQLite, its default (two busy cores,
2026-11-22).
"""

from __future__ import annotations

import http.client
import os
import time
from collections.abc import Iterator
from functools import cached_property
from pathlib import Path

import msgspec
import numpy as np
import psutil
import pytest

from tests.services import Postgresql
from tests.serving import Server

pytestmark = [pytest.mark.perf, pytest.mark.timeout(600)]

NUM_METRICS, POINTS_EACH, NUM_BATCHES = 10, 100, 500
MLFLOW_US = 227.0
TARGET_US = MLFLOW_US / 100
TARGET_BYTES = 6.0


class Bench(Server):
    """A server with a persistent connection, and the cost of its processes and database."""

    def post(self, path: str, body: bytes, kind: str = "application/json") -> dict:
        headers = {"Authorization": f"Bearer {self.token}", "Content-Type": kind}
        self.connection.request("POST", f"/api/v1{path}", body, headers)
        answer = self.connection.getresponse()
        decoded = msgspec.json.decode(answer.read())
        assert answer.status < 300, decoded
        return decoded

    @cached_property
    def connection(self) -> http.client.HTTPConnection:
        return http.client.HTTPConnection("127.0.0.1", self.port)

    def cpu_s(self) -> float:
        """CPU seconds of the web server and of PostgreSQL if there is one, including ended processes."""
        assert self.process
        web = psutil.Process(self.process.pid).cpu_times()
        return web.user + web.system + (self.postgresql.cpu_s() if self.postgresql else 0.0)

    def database_bytes(self) -> int:
        return int(self.manage("shell", "-v0", "-c", USED).split()[-1])

    postgresql: Postgresql | None = None


USED = """
from django.db import connection
cursor = connection.cursor()
if connection.vendor == 'postgresql':
    cursor.execute('VACUUM FULL')
    cursor.execute('SELECT pg_database_size(current_database())')
    print(cursor.fetchone()[0])
else:
    figures = [cursor.execute(f'PRAGMA {what}').fetchone()[0] for what in ('page_count', 'freelist_count', 'page_size')]
    print((figures[0] - figures[1]) * figures[2])
"""


@pytest.fixture(params=["sqlite", "postgresql"])
def server(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Bench]:
    database = Postgresql() if request.param == "postgresql" else None
    if database:
        assert database.start()
        database.create_database()
    server = Bench(tmp_path, database.url if database else "")
    server.postgresql = database
    try:
        yield server.start()  # type: ignore[misc]
    finally:
        server.stop()
        if database:
            database.close()


def batch(seq: int, dice: np.random.Generator) -> dict:
    """A batch like that of a training loop: a noisy loss, a ramp, a rounded figure, and a jittered clock."""
    first = seq * POINTS_EACH
    steps = np.arange(first, first + POINTS_EACH)
    times = 1_700_000_000_000_000 + steps * 250_000 + dice.integers(0, 5_000, POINTS_EACH)
    columns = [
        (2 + dice.normal(size=POINTS_EACH)).astype(np.float32).astype(np.float64),
        3e-4 * steps / 1e6,
        np.round(dice.normal(300, 20, POINTS_EACH), 1),
        dice.integers(0, 100, POINTS_EACH).astype(np.float64),
    ]
    return {
        "seq": seq,
        "steps": steps.tobytes(),
        "times": times.tobytes(),
        "series": [{"metric": f"train/m{n}", "values": columns[n % 4].tobytes()} for n in range(NUM_METRICS)],
    }


def unpacked(one: dict) -> dict:
    return one | {
        "steps": np.frombuffer(one["steps"], "<i8").tolist(),
        "times": (np.frombuffer(one["times"], "<i8") / 1e6).tolist(),
        "series": [s | {"values": np.frombuffer(s["values"], "<f8").tolist()} for s in one["series"]],
    }


@pytest.mark.parametrize("kind", ["msgpack", "json"])
def test_server_cpu_of_a_point_in_batches_of_a_thousand(kind, server, capsys):
    dice = np.random.default_rng(0)
    run = server.post("/runs", b"{}")["id"]
    before = server.database_bytes()
    batches = [batch(seq, dice) for seq in range(NUM_BATCHES + 1)]
    encoder = msgspec.msgpack if kind == "msgpack" else msgspec.json
    bodies = [
        encoder.encode({"stream": "w", "batches": [one if kind == "msgpack" else unpacked(one)]})
        for one in batches
    ]
    server.post(f"/runs/{run}/points", bodies[0], f"application/{kind}")
    cpu_s, began = server.cpu_s(), time.monotonic()
    for body in bodies[1:]:
        server.post(f"/runs/{run}/points", body, f"application/{kind}")
    wall_s, cpu_s = time.monotonic() - began, server.cpu_s() - cpu_s
    num_points = NUM_BATCHES * NUM_METRICS * POINTS_EACH
    server.post(f"/runs/{run}/finish", b"{}")
    size = (server.database_bytes() - before) / num_points
    us = cpu_s / num_points * 1e6
    kept = "PostgreSQL" if server.postgresql else "SQLite"
    with capsys.disabled():
        print(
            f"\nHTTP {kind}, {kept}: {us:.2f} us of server CPU a point ({MLFLOW_US / us:.0f} times less than mlflow's "
            f"log-batch), {num_points / wall_s:,.0f} points/s, {size:.2f} bytes a point on disk; "
            f"load {os.getloadavg()[0]:.1f}"
        )
    if not server.postgresql:  # MLflow's figure is for SQLite, its default; on PostgreSQL its server took 293
        assert us <= TARGET_US * (1 if kind == "msgpack" else 2)
        assert size <= TARGET_BYTES
