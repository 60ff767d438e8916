"""A web server with long runs, for measurements of its process."""

from __future__ import annotations

import contextlib
import http.client
import json
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import psutil

from jobs import series
from jobs.models import Batch, Run
from jobs.series import codec, write
from jobs.series.codec import Columns
from tests.running import ROOT, Fourwalls, free_port, wait_until

BATCH = 50_000
EPOCH_US = 1_700_000_000 * 10**6


def fill_run(name: str, metrics: Sequence[str], steps: int, *, seed: int) -> str:
    """Create a run with float32 noise on a falling curve, as ended attempts leave it, in the home's process.

    Every series has one spike: one step in a million that is distinct by its height.
    """
    from jobs.people.accounts import ensure_first_team_and_user

    owner = ensure_first_team_and_user()
    team = owner.memberships.get().team
    run = Run.objects.create(team=team, owner=owner, name=name, origin="bench", state="succeeded")
    rng = np.random.default_rng(seed)
    stream_id, _ = write._stream(run.id, 0, "bench")
    at = rng.integers(steps, size=len(metrics))
    for seq, start in enumerate(range(0, steps, BATCH)):
        k = np.arange(start, min(start + BATCH, steps))
        groups = {}
        for metric, spike in zip(metrics, at, strict=True):
            noise = rng.normal(size=len(k)) * 0.1
            values = (5 * np.exp(-3 * k / steps) + noise).astype(np.float32).astype(np.float64)
            values[k == spike] = 99.0
            groups[metric, "run"] = Columns(k, EPOCH_US + k * 10**5, values)
        data = codec.encode_batch(groups)
        Batch.objects.create(
            stream_id=stream_id, seq=seq, first_step=start, first_at_us=EPOCH_US + start * 10**5, data=data
        )
        write.fold(stream_id)
    series.close(run.id, 0)
    return run.id


@dataclass
class BenchServer:
    """`manage.py web` with its own home, without scheduler and agent, which would use CPU time."""

    fourwalls: Fourwalls
    process: psutil.Process
    token: str

    def fill(self, num_runs: int, metrics: Sequence[str], steps: int) -> list[str]:
        call = (
            "import json; from tests.perf.bench_server import fill_run; "
            f"print('runs:' + json.dumps([fill_run(f'run {{n}}', {list(metrics)!r}, {steps}, seed=n) "
            f"for n in range({num_runs})]))"
        )
        printed = self.fourwalls.manage("shell", "-v0", "-c", call).stdout
        return json.loads(printed.rpartition("runs:")[2])

    def login_link(self) -> str:
        return self.fourwalls.manage("login").stdout.strip()

    def cookie(self) -> str:
        """Cookie of a new session, as a browser sends it."""
        connection = self.connection()
        connection.request("GET", "/" + self.login_link().split("/", 3)[3])
        answer = connection.getresponse()
        answer.read()
        assert answer.status == 302, "the login link did not log in"
        cookies = [cookie.split(";")[0] for cookie in answer.headers.get_all("Set-Cookie", [])]
        return next(cookie for cookie in cookies if cookie.startswith("fourwalls_"))

    def cpu_s(self, work: Callable[[], object]) -> float:
        """CPU seconds of the server's process during `work`."""
        before = self.process.cpu_times()
        work()
        after = self.process.cpu_times()
        return after.user + after.system - before.user - before.system

    def connection(self) -> http.client.HTTPConnection:
        """A persistent connection, as a browser uses."""
        return http.client.HTTPConnection("127.0.0.1", self.fourwalls.port, timeout=60)

    def get(self, connection: http.client.HTTPConnection, path: str) -> bytes:
        connection.request("GET", path, headers={"Authorization": f"Bearer {self.token}"})
        answer = connection.getresponse()
        data = answer.read()
        assert answer.status == 200, data
        return data


@contextlib.contextmanager
def bench_server(home: Path) -> Iterator[BenchServer]:
    fourwalls = Fourwalls(home, free_port())
    fourwalls.manage("migrate", "-v0")
    key = "from jobs.people.accounts import *; u = ensure_first_team_and_user(); "
    key += "print('token:' + create_token(u, u.memberships.get().team, 'bench'))"
    token = fourwalls.manage("shell", "-v0", "-c", key).stdout.rpartition("token:")[2].strip()
    command = [sys.executable, "manage.py", "web", "--port", str(fourwalls.port)]
    process = subprocess.Popen(command, cwd=ROOT, env=fourwalls.env)
    try:
        wait_until(lambda: _answers(fourwalls.port), description="the web server")
        yield BenchServer(fourwalls, psutil.Process(process.pid), token)
    finally:
        process.terminate()
        process.wait(timeout=20)


def _answers(port: int) -> bool:
    with contextlib.suppress(OSError):
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
        connection.request("GET", "/login/")
        return connection.getresponse().status == 200
    return False
