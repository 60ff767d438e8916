"""Random kill -9 of a logging script, the server and the agent: no point on disk is lost or doubled.

CHAOS_KILLS sets the number of kills (200), CHAOS_POINTS the number of points (1,000,000), and CHAOS_SEED
repeats the faults, as far as processes are deterministic. A rank writes its spool at the same time, which the
agent ingests.
"""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from tests.chaos import logging_script, spool_rank
from tests.chaos.cluster import HERE, Cluster
from tests.chaos.user_load import spec
from tests.running import ROOT, wait_until
from tests.services import Postgresql

pytestmark = pytest.mark.slow

KILLS = int(os.environ.get("CHAOS_KILLS", "200"))
POINTS = int(os.environ.get("CHAOS_POINTS", "1000000"))
PAUSES_S = (0.2, 1.2)  # between two kills
SETTLE_LIMIT_S = 300.0


class PointsCluster(Cluster):
    """One node with a rank that only writes, and no reassignment when its agent is killed."""

    @property
    def environment(self) -> dict[str, str]:
        return super().environment | {
            "FOURWALLS_REASSIGN_AFTER_S": "600",
            "FOURWALLS_UNREACHABLE_AFTER_S": "300",
        }

    def _write_trainer(self) -> None:
        trainer = self.home / "trainer"
        trainer.write_text(
            f'#!/bin/sh\nexec "{sys.executable}" -ISE "{HERE / "spool_rank.py"}" "{self.journal}" "$3" "$4"\n'
        )
        trainer.chmod(0o700)


@dataclass
class Script:
    """The logging script; after a kill a new process of the same run continues behind the last block."""

    cluster: Cluster
    run: str
    num_calls: int
    calls_per_s: float
    child: subprocess.Popen[bytes] | None = None
    starts: list[list[int]] = field(
        default_factory=list
    )  # of each process: its first step, and how far it was on disk

    @property
    def file(self) -> Path:
        return self.cluster.home / "script"

    def restart_dead(self) -> None:
        """Start the script, or restart it, until everything is logged."""
        if (self.child is None or self.child.poll() is not None) and not self.is_done:
            start = self._next()
            command = [sys.executable, str(HERE / "logging_script.py"), self.run, str(start), str(self.num_calls),
                       str(self.file), str(self.calls_per_s)]  # fmt: skip
            own = {"FOURWALLS_URL": f"http://127.0.0.1:{self.cluster.port}", "FOURWALLS_TOKEN": self.cluster.token,
                   "FOURWALLS_DIR": str(self.cluster.home / "spools"), "FOURWALLS_SYSTEM_S": "0",
                   "FOURWALLS_FINISH_S": "120", "PYTHONPATH": str(ROOT)}  # fmt: skip
            with (self.cluster.home / "log" / "script.log").open("ab") as log:
                self.child = subprocess.Popen(command, env=os.environ | own, stdout=log, stderr=log)
            self.starts.append([start, start])

    @property
    def is_done(self) -> bool:
        return self._lines()[-1:] == [("done", 0)]

    def on_disk(self) -> list[tuple[int, int]]:
        """Spans of steps that flush() confirmed, of each process that got so far."""
        spans: dict[int, int] = {}
        start = 0
        known = {start_ for start_, _ in self.starts}
        for what, number in self._lines():
            start = number if what == "from" and number in known else start
            if what == "disk":
                spans[start] = number
        return list(spans.items())

    def _next(self) -> int:
        starts = [number for what, number in self._lines() if what == "from"]
        return starts[-1] + logging_script.BLOCK if starts else 0

    def _lines(self) -> list[tuple[str, int]]:
        text = self.file.read_text() if self.file.exists() else ""
        return [(what, int(number)) for what, number in map(str.split, text.splitlines())]


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.services)])
def cluster(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[PointsCluster]:
    server = Postgresql() if request.param == "postgresql" else None
    if server:
        assert server.start()
        server.create_database()
    cluster = PointsCluster(tmp_path, server, nodes={"a": 1})
    try:
        yield cluster.start()
    finally:
        cluster.kill()


def inject_kills(cluster: PointsCluster, script: Script, kills: int, rng: random.Random) -> Counter[str]:
    counts: Counter[str] = Counter()
    strike_at = time.monotonic() + 2.0
    while sum(counts.values()) < kills:
        cluster.restart_dead()
        script.restart_dead()
        if time.monotonic() >= strike_at:
            strike_at = time.monotonic() + rng.uniform(*PAUSES_S)
            kind = rng.choices(["script", "web", "agent"], [2, 1, 1])[0]
            pids = [script.child.pid] if kind == "script" and script.child else cluster.pids(kind)
            if kind == "script" and script.is_done:
                continue
            for pid in pids:
                os.kill(pid, signal.SIGKILL)
                counts[kind] += 1
            for process in (one for group in cluster.groups.values() for one in group.processes):
                process.restarts = 0  # avoids the growing delay between restarts
        time.sleep(0.02)
    return counts


def run_fault_test(cluster: PointsCluster, kills: int, points: int) -> None:
    seed = int(os.environ.get("CHAOS_SEED") or random.SystemRandom().randrange(10**6))
    num_calls = points // logging_script.METRICS
    job = cluster.post("/jobs", spec("spool_rank", devices=1, steps=1_000_000))
    run = cluster.post("/runs", {"name": "storm"})["id"]
    script = Script(cluster, run, num_calls, calls_per_s=num_calls / (kills * sum(PAUSES_S) / 2))
    began = time.monotonic()
    counts = inject_kills(cluster, script, kills, random.Random(seed))
    faults_s = time.monotonic() - began
    (cluster.home / "script.hurry").touch()
    (cluster.journal / "enough").touch()

    def is_settled() -> bool:
        cluster.restart_dead()
        script.restart_dead()
        state = (cluster.get(f"/jobs/{job['id']}") or {}).get("state")
        return (
            script.is_done
            and script.child is not None
            and script.child.poll() is not None
            and state == "succeeded"
        )

    wait_until(is_settled, SETTLE_LIMIT_S, f"the end of script and job; {cluster.logs()[-3000:]}")
    wait_until(lambda: (cluster.restart_dead(), is_synced(cluster))[1], SETTLE_LIMIT_S, "everything synced")
    found = stored(cluster, run, job["run"])
    summary = check_points(script, found, int((cluster.journal / "spool_rank").read_text()))
    print(f"\n{'PostgreSQL' if cluster.server else 'SQLite'}, {kills} kills in {faults_s:.0f} s, CHAOS_SEED={seed}: "
          f"{dict(counts)}; load {os.getloadavg()[0]:.1f}\n  {summary}")  # fmt: skip


def is_synced(cluster: PointsCluster) -> bool:
    """Sync the spools of killed scripts by hand; return whether none is left."""
    own = {"FOURWALLS_URL": f"http://127.0.0.1:{cluster.port}", "FOURWALLS_TOKEN": cluster.token}
    command = [sys.executable, "-m", "fourwalls", "sync", str(cluster.home / "spools")]
    subprocess.run(
        command, env=os.environ | own | {"PYTHONPATH": str(ROOT)}, capture_output=True, check=False
    )
    return not list((cluster.home / "spools").glob("*/*/about.json"))


def stored(cluster: PointsCluster, *runs: str) -> dict[str, Any]:
    command = [sys.executable, str(HERE / "raw_points.py"), *runs]
    done = subprocess.run(
        command, cwd=ROOT, env=cluster.environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def check_points(script: Script, found: dict[str, Any], num_steps: int) -> str:
    for name, one in found["job"].items():
        assert one == expected(num_steps, [[1, num_steps + 1]]), (name, one)
    strays = (script.cluster.home / "spools").glob("*/*/frames-*")  # of scripts killed at their start
    assert not [path for path in strays if path.stat().st_size]
    first = found["client"]["m0"]
    for name, one in found["client"].items():
        assert one == expected(first["count"], first["spans"]), (name, one)
    for start, end in script.on_disk():
        assert any(a <= start and end <= b for a, b in first["spans"]), f"{start} to {end} was on disk"
    # Each process leaves one unbroken span from its first step: no step that it logged is missing.
    starts = {start_ for start_, _ in script.starts}
    assert {a for a, _ in first["spans"]} <= starts
    lost = script.num_calls - first["count"]
    return (
        f"{first['count'] * logging_script.METRICS:,} points of {len(script.starts)} scripts and "
        f"{num_steps * len(spool_rank.METRICS):,} of a rank read back: none lost, doubled, out of order or changed; "
        f"{lost:,} log calls of killed scripts (of {script.num_calls:,}) did not reach the disk or were never made"
    )


def expected(count: int, spans: list[list[int]]) -> dict[str, Any]:
    return {"count": count, "twice": 0, "disordered": 0, "wrong": 0, "spans": spans}


@pytest.mark.timeout(300)
def test_eight_kills_lose_no_point(cluster: PointsCluster):
    run_fault_test(cluster, kills=8, points=20_000)


@pytest.mark.chaos
@pytest.mark.timeout(1800)
def test_two_hundred_kills_lose_none_of_a_million_points(cluster: PointsCluster):
    run_fault_test(cluster, KILLS, POINTS)
