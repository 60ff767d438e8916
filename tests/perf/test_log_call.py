"""Cost of a log call of ten metrics to the training thread: our client and other trackers.

Each logs to a server or file as documented: ours and mlflow's to a local server (mlflow's is stock, on
SQLite), trackio's and tensorboard's to files.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.perf import peer_environment
from tests.perf.log_call import METRICS
from tests.running import ROOT, free_port, wait_until
from tests.serving import Server

pytestmark = [pytest.mark.perf, pytest.mark.timeout(900)]

SCRIPT = Path(__file__).with_name("log_call.py")
CALLS = {"ours": 2000, "trackio": 500, "tensorboard": 500, "mlflow_async": 200, "mlflow": 50}
TARGET_US = 20.0


def cost(peer: str, interpreter: Path, folder: Path, **environment: str) -> dict[str, float]:
    command = [str(interpreter), str(SCRIPT), peer, str(CALLS[peer])]
    own = {"TRACKIO_DIR": str(folder), "HF_HUB_OFFLINE": "1", **environment}
    done = subprocess.run(
        command, cwd=folder, env=os.environ | own, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr[-2000:]
    return json.loads(done.stdout.splitlines()[-1])


def test_cost_of_a_log_call_on_the_training_thread(tmp_path, capsys):
    server = Server(tmp_path / "home").start()
    folder = tmp_path / "scripts"
    folder.mkdir()
    own = {"FOURWALLS_URL": server.url, "FOURWALLS_TOKEN": server.token, "FOURWALLS_DIR": str(tmp_path / "spools"),
           "PYTHONPATH": str(ROOT)}  # fmt: skip
    found = {"ours": cost("ours", Path(sys.executable), folder, **own)}
    server.stop()
    interpreter = peer_environment.peer_python()
    for peer in ("tensorboard", "trackio"):
        found[peer] = cost(peer, interpreter, folder)
    port = free_port()
    command = [str(interpreter), "-m", "mlflow", "server", "--port", str(port)]
    mlflow = subprocess.Popen(command, cwd=folder, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        wait_until(lambda: _answers(port), limit_s=300)
        for peer in ("mlflow_async", "mlflow"):
            found[peer] = cost(peer, interpreter, folder, MLFLOW_TRACKING_URI=f"http://127.0.0.1:{port}")
    finally:
        mlflow.terminate()
        mlflow.wait()
    with capsys.disabled():
        print(f"\nlog call of {len(METRICS)} metrics, us, load {os.getloadavg()[0]:.1f}:")
        for peer, one in found.items():
            ratio = one["p50"] / found["ours"]["p50"]
            print(
                f"  {peer:13} p50 {one['p50']:9.1f}  p99 {one['p99']:9.1f}  mean {one['mean']:9.1f}  {ratio:7.0f}x"
            )
    assert found["ours"]["p50"] < TARGET_US
    assert all(one["p50"] > 2 * found["ours"]["p50"] for peer, one in found.items() if peer != "ours")


def _answers(port: int) -> bool:
    probe = ["curl", "-sf", "-o", "/dev/null", f"http://127.0.0.1:{port}/health"]
    return subprocess.run(probe, check=False).returncode == 0
