"""Three hundred clients at once on PostgreSQL with its default connections: none is refused, no point is lost."""

from __future__ import annotations

import http.client
import json
import subprocess
import threading
import time
from collections import Counter
from typing import Any

import pytest

from tests.services import Postgresql, find_program, unprivileged_user
from tests.serving import Server

pytestmark = [pytest.mark.services, pytest.mark.slow]

CLIENTS, DELIVERIES, POINTS = 300, 4, 25
WEB_THREADS, OTHER_CONNECTIONS = 20, 6  # of points, series, uploads, live streams, and this test


@pytest.fixture
def served(tmp_path):
    database = Postgresql()
    server = None
    try:
        assert database.start()
        database.create_database()
        server = Server(tmp_path, database.url).start()
        yield server, database
    finally:
        if server:
            server.stop()
        database.close()


class Browsing(threading.Thread):
    """One client: creates a run, sends points, reads lists and pages. It tries nothing twice."""

    def __init__(self, number: int, server: Server, gate: threading.Barrier) -> None:
        super().__init__(daemon=True)
        self.number, self.server, self.gate = number, server, gate
        self.statuses: Counter[Any] = Counter()
        self.run_id = ""

    def run(self) -> None:
        self.gate.wait()
        try:
            self.run_id = self.ask("POST", "/api/v1/runs", {"name": f"client {self.number}"})["id"]
            for seq in range(DELIVERIES):
                steps = list(range(seq * POINTS, (seq + 1) * POINTS))
                one = {"metric": "loss", "steps": steps, "values": [1.0] * POINTS, "times": [1e9] * POINTS}
                self.ask(
                    "POST",
                    f"/api/v1/runs/{self.run_id}/points",
                    {"stream": "w", "batches": [{"seq": seq, "series": [one]}]},
                )
                self.ask("GET", "/api/v1/runs?limit=5")
            self.ask("GET", f"/api/v1/runs/{self.run_id}/series?metric=loss&points=1000")
            self.ask("GET", "/login/")
        except (OSError, http.client.HTTPException, KeyError, TypeError) as error:
            self.statuses[repr(error)] += 1

    def ask(self, method: str, path: str, body: Any = None) -> Any:
        connection = http.client.HTTPConnection("127.0.0.1", self.server.port, timeout=120)
        headers = {"Authorization": f"Bearer {self.server.token}", "Content-Type": "application/json"}
        connection.request(method, path, json.dumps(body) if body else None, headers)
        reply = connection.getresponse()
        content = reply.read()
        connection.close()
        self.statuses[reply.status] += 1
        return json.loads(content) if "json" in reply.headers["Content-Type"] else None


def count_connections(database: Postgresql) -> int:
    command = [find_program("psql"), "-h", str(database.folder), "-U", "fourwalls", "-At", "-c"]
    query = "SELECT count(*) FROM pg_stat_activity WHERE datname = 'fourwalls'"
    done = subprocess.run(
        [*command, query, "fourwalls"], capture_output=True, text=True, check=True, **unprivileged_user()
    )
    return int(done.stdout)


@pytest.mark.timeout(300)
def test_three_hundred_clients_at_once_lose_nothing(served):
    server, database = served
    gate = threading.Barrier(CLIENTS + 1)
    clients = [Browsing(number, server, gate) for number in range(CLIENTS)]
    for client in clients:
        client.start()
    gate.wait()
    began, most = time.monotonic(), 0
    while any(client.is_alive() for client in clients):
        most = max(most, count_connections(database))
        time.sleep(0.3)
    seconds = time.monotonic() - began
    statuses = sum((client.statuses for client in clients), Counter())
    figures = f"{sum(statuses.values())} requests in {seconds:.1f} s, at most {most} connections"
    print(f"{figures}: {dict(statuses)}")  # noqa: T201
    assert set(statuses) <= {200, 201}, statuses
    assert most <= WEB_THREADS + OTHER_CONNECTIONS
    for client in clients:
        assert len(server.points(client.run_id)) == DELIVERIES * POINTS
