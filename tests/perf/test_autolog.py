"""Libraries that log to MLflow by themselves log to Fourwalls, unchanged: what each says is on its run."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlencode

import pytest

from tests.perf import peers
from tests.serving import Server

pytestmark = [pytest.mark.perf, pytest.mark.timeout(900)]

SCRIPT = Path(__file__).with_name("autolog.py")
# What is on the run: its name, metrics with how many points, some parameters.
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
def test_a_library_logs_by_itself(server: Server, library: str, tmp_path: Path):
    own = {"MLFLOW_TRACKING_URI": server.url, "MLFLOW_TRACKING_TOKEN": server.token, "HF_HUB_OFFLINE": "1",
           "MLFLOW_DISABLE_TELEMETRY": "true", "GIT_PYTHON_REFRESH": "quiet"}  # fmt: skip
    done = subprocess.run(
        [str(peers.python()), str(SCRIPT), library], cwd=tmp_path, env=os.environ | own, capture_output=True, text=True,
        check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]
    run = done.stdout.rpartition("run:")[2].strip()
    name, counts, params = LOGGED[library]
    said = server.get(f"/runs/{run}")
    assert said["state"] == "succeeded" and name in said["name"]
    told = {metric["metric"]: metric["count"] for metric in server.get(f"/runs/{run}/metrics")["metrics"]}
    assert told.items() >= counts.items()
    for key, value in params.items():
        found = server.get("/runs?" + urlencode({"filter": f"param:{key} = {value}"}))["items"]
        assert run in [one["id"] for one in found], f"{key} = {value}"
    print(f"\n{library}: {len(told)} metrics, {sum(told.values())} points in Fourwalls")
