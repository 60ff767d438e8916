"""CPU time of one chart of 20 runs x 100,000 steps: ours, MLflow (SQLite and PostgreSQL), TensorBoard.

Each chart uses the endpoint of the peer's own page. The CPU time covers the server's processes, including
PostgreSQL's.
"""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import statistics
from collections.abc import Callable, Iterator
from typing import NamedTuple
from urllib.parse import urlencode

import msgspec
import numpy as np
import pytest

from tests.dashboard.api.test_packed_series import unpack
from tests.perf import mlflow_server, tensorboard_server
from tests.perf.bench_server import bench_server
from tests.perf.peer_server import PeerServer
from tests.services import Postgresql

pytestmark = [pytest.mark.perf, pytest.mark.timeout(1800)]

NUM_RUNS, STEPS = 20, 100_000
SPIKE = 99.0
TARGET_MS = 50
ROUNDS = 3
OURS = "ours"
TARGETS = {
    "mlflow, SQLite": 300,
    "mlflow, PostgreSQL": 60,
    "tensorboard": 5,
}  # how many times less CPU than the peer
TIMES = {"mlflow, SQLite": 1, "mlflow, PostgreSQL": 1, "tensorboard": 10, OURS: 20}  # requests per round
ONCE = "mlflow, SQLite"  # only in the first round: a request takes half a minute
INTERVAL = "/ajax-api/2.0/mlflow/metrics/get-history-bulk-interval"


class Chart(NamedTuple):
    """The request of a page and the part of the response that is drawn: a line's values for each run."""

    peer: PeerServer
    ask: Callable[[], bytes]
    lines: Callable[[], list[np.ndarray]]


@pytest.fixture(scope="module")
def charts(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Chart]]:
    with contextlib.ExitStack() as stack:
        postgresql = Postgresql()
        stack.callback(postgresql.close)
        assert postgresql.start()
        postgresql.create_database()
        lite = stack.enter_context(mlflow_server.mlflow_server(tmp_path_factory.mktemp("lite")))
        big = stack.enter_context(mlflow_server.mlflow_server(tmp_path_factory.mktemp("big"), postgresql))
        files = tmp_path_factory.mktemp("files")
        tags = tensorboard_server.fill_series(files, "loss", _curves())
        board = stack.enter_context(tensorboard_server.tensorboard_server(files))
        home = stack.enter_context(bench_server(tmp_path_factory.mktemp("ours")))
        own = PeerServer(home.fourwalls.port, home.process, token=home.token)
        yield {
            "mlflow, SQLite": _mlflow_chart(lite, mlflow_server.fill_series(lite, "loss", _lists())),
            "mlflow, PostgreSQL": _mlflow_chart(big, mlflow_server.fill_series(big, "loss", _lists())),
            "tensorboard": _tensorboard_chart(board, tags),
            OURS: _own_chart(own, home.fill(NUM_RUNS, ["loss"], STEPS)),
        }


def test_one_chart_of_twenty_runs_beside_peers(charts: dict[str, Chart], capsys: pytest.CaptureFixture[str]):
    cpus: dict[str, list[float]] = {name: [] for name in charts}
    walls: dict[str, list[float]] = {name: [] for name in charts}
    drawn = {name: chart.lines() for name, chart in charts.items()}  # also warms the caches
    for turn in range(ROUNDS):
        for name, (peer, ask, _lines) in charts.items():
            if name == ONCE and turn:
                continue
            cpu_s, wall_s = peer.cost(ask, TIMES[name])
            cpus[name].append(cpu_s)
            walls[name].append(wall_s)
    own = statistics.median(cpus[OURS])
    with capsys.disabled():
        print(
            f"\n{NUM_RUNS} runs x {STEPS:,} steps, mlflow {mlflow_server.MLFLOW}, tensorboard "
            f"{tensorboard_server.TENSORBOARD}, load {os.getloadavg()[0]:.1f}; medians of {ROUNDS} rounds in turns:"
        )
        for name, lines in drawn.items():
            cpu_s, wall_s = statistics.median(cpus[name]), statistics.median(walls[name])
            kept = sum(bool((line == SPIKE).any()) for line in lines)
            print(
                f"  {name:<20}{cpu_s * 1e3:10,.1f} ms CPU{wall_s * 1e3:10,.1f} ms {sum(map(len, lines)):9,} points "
                f"{kept:3} of {NUM_RUNS} spikes {cpu_s / own:7.1f}x"
            )
    assert all(len(lines) == NUM_RUNS for lines in drawn.values())
    assert all((line == SPIKE).any() for line in drawn[OURS])
    assert own * 1e3 < TARGET_MS
    for name, target in TARGETS.items():
        assert statistics.median(cpus[name]) / own >= target, name


def _mlflow_chart(peer: PeerServer, runs: list[str]) -> Chart:
    query = [("metric_key", "loss"), ("max_results", "320"), *(("run_ids", run) for run in runs)]
    path = f"{INTERVAL}?{urlencode(query)}"

    def lines() -> list[np.ndarray]:
        found: dict[str, list[float]] = {run: [] for run in runs}
        for metric in peer.send("GET", path)["metrics"]:
            found[metric["run_id"]].append(metric["value"])
        return [np.array(values) for values in found.values()]

    return Chart(peer, lambda: peer.fetch("GET", path), lines)


def _tensorboard_chart(peer: PeerServer, runs: list[str]) -> Chart:
    """The request of its first page, Time Series."""
    asked = urlencode({"requests": json.dumps([{"plugin": "scalars", "tag": "loss"}])}).encode()

    def ask() -> bytes:
        return peer.fetch("POST", "/data/plugin/timeseries/timeSeries", asked, tensorboard_server.FORM)

    def lines() -> list[np.ndarray]:
        found = msgspec.json.decode(ask())[0]["runToSeries"]
        return [np.array([point["value"] for point in found[run]]) for run in runs]

    return Chart(peer, ask, lines)


def _own_chart(peer: PeerServer, runs: list[str]) -> Chart:
    """Each request asks for one bucket more, since the same request would be answered from the cache."""
    points = itertools.count(1000)

    def ask() -> bytes:
        query = [("metric", "loss"), ("points", str(next(points))), ("format", "packed")]
        return peer.fetch("GET", f"/api/v1/series?{urlencode([*query, *(('run', run) for run in runs)])}")

    def lines() -> list[np.ndarray]:
        return [line["max"] for line in unpack(ask())["series"]]

    return Chart(peer, ask, lines)


def _curves() -> Iterator[np.ndarray]:
    """The curves of tests.perf.bench_server."""
    for seed in range(NUM_RUNS):
        dice = np.random.default_rng(seed)
        values = 5 * np.exp(-3 * np.arange(STEPS) / STEPS) + dice.normal(size=STEPS) * 0.1
        values[dice.integers(STEPS)] = SPIKE
        yield values.astype(np.float32)


def _lists() -> Iterator[list[float]]:
    return (values.tolist() for values in _curves())
