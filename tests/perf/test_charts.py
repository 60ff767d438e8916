"""Server CPU time of one chart of many long runs over HTTP; every planted spike must be in it."""

from __future__ import annotations

import itertools
import os
import statistics
import time
from urllib.parse import urlencode

import pytest

from tests.dashboard.api.test_packed_series import unpack
from tests.perf.bench_server import BenchServer, bench_server

pytestmark = [pytest.mark.perf, pytest.mark.timeout(900)]

NUM_RUNS = 20
ROUNDS = 10
TARGETS_MS = {100_000: 50, 1_000_000: 350}  # CPU time of the server's process per request, on two idle cores


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    with bench_server(tmp_path_factory.mktemp("charts")) as found:
        yield found


@pytest.mark.parametrize("steps", TARGETS_MS)
def test_one_chart_of_twenty_runs(server: BenchServer, steps: int):
    runs = server.fill(NUM_RUNS, ["loss"], steps)
    query = [("metric", "loss"), *(("run", run) for run in runs)]
    print(f"\n{NUM_RUNS} runs x {steps:,} steps, load {os.getloadavg()[0]:.1f}, medians of {ROUNDS}:")
    middle = [("lo", str(steps // 2)), ("hi", str(steps // 2 + 999))]
    for label, more in (
        ("packed", [("format", "packed")]),
        ("JSON", []),
        ("packed, 1,000 raw points each", [("format", "packed"), *middle]),
    ):
        cpu_ms, wall_ms, data = _measured(server, [*query, *more])
        print(f"  {label:<32}{cpu_ms:7.1f} ms CPU {wall_ms:8.1f} ms {len(data) / 1e3:9,.0f} kB")
        if label == "packed":
            assert cpu_ms < TARGETS_MS[steps]
            lines = unpack(data)["series"]
            assert [line["max"].max() for line in lines] == [99.0] * NUM_RUNS


def _measured(server: BenchServer, query: list[tuple[str, str]]) -> tuple[float, float, bytes]:
    """CPU time of the server and wall time of one request, in milliseconds.

    Each request asks for one bucket more, since the same request would be answered from the cache.
    """
    walls: list[float] = []
    connection, points = server.connection(), itertools.count(1000)

    def ask() -> bytes:
        path = f"/api/v1/series?{urlencode([*query, ('points', str(next(points)))])}"
        began = time.perf_counter()
        data = server.get(connection, path)
        walls.append(time.perf_counter() - began)
        return data

    data = ask()  # warms the caches of database and process
    cpu_s = server.cpu_s(lambda: [ask() for _ in range(ROUNDS)]) / ROUNDS
    connection.close()
    return cpu_s * 1e3, statistics.median(walls) * 1e3, data
