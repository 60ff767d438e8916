"""Libraries with MLflow support log to Fourwalls unchanged."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlencode

import pytest

from tests.perf import peer_environment
from tests.serving import Server

pytestmark = [pytest.mark.perf, pytest.mark.timeout(900)]

SCRIPT = Path(__file__).with_name("autolog_scripts.py")
# Expected on the run: its name, the number of points by metric, some parameters.
LOGGED = {
    "transformers": (
        "by transformers",
        {"loss": 10, "learning_rate": 10},
        {"max_steps": "10", "n_layer": "1"},
    ),
    "torch": ("by torch", {"train/loss": 10}, {}),
    "sklearn": ("", {"training_accuracy_score": 1}, {"C": "0.5"}),
}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    server = Server(tmp_path_factory.mktemp("home")).start()
    yield server
    server.stop()


@pytest.mark.parametrize("library", LOGGED)
def test_a_library_logs_through_its_own_integration(server: Server, library: str, tmp_path: Path):
    own = {"MLFLOW_TRACKING_URI": server.url, "MLFLOW_TRACKING_TOKEN": server.token, "HF_HUB_OFFLINE": "1",
           "MLFLOW_DISABLE_TELEMETRY": "true", "GIT_PYTHON_REFRESH": "quiet"}  # fmt: skip
    done = subprocess.run(
        [str(peer_environment.peer_python()), str(SCRIPT), library],
        cwd=tmp_path, env=os.environ | own, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]
    run = done.stdout.rpartition("run:")[2].strip()
    name, counts, params = LOGGED[library]
    run_fields = server.get(f"/runs/{run}")
    assert run_fields["state"] == "succeeded" and name in run_fields["name"]
    metrics = {metric["metric"]: metric["count"] for metric in server.get(f"/runs/{run}/metrics")["metrics"]}
    assert metrics.items() >= counts.items()
    for key, value in params.items():
        found = server.get("/runs?" + urlencode({"filter": f"param:{key} = {value}"}))["items"]
        assert run in [one["id"] for one in found], f"{key} = {value}"
    print(f"\n{library}: {len(metrics)} metrics, {sum(metrics.values())} points in Fourwalls")
