"""Time from enqueue to the start of rank processes, by part, over the embedded broker."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from statistics import quantiles

import pytest

from engine.spec.spec import parse, with_changes
from tests.running import ROOT, TINY, Fourwalls, free_port, wait_until

pytestmark = [pytest.mark.perf, pytest.mark.timeout(600)]

ROUNDS = {"cold": 40, "warm": 20}
LIMIT_P50_S = 0.5  # of our own part: scheduler, wake-up and launch
SHARES = ("scheduler", "doorbell", "launch", "supervisor")

# Unix times of one job: enqueued, leased, taken by the agent, supervisor started, ranks forked.
TIMES = """
import json
from engine.directory import AttemptDirectory
from jobs.models import Attempt
for a in Attempt.objects.filter(state="succeeded").select_related("job").order_by("assigned_at"):
    d = AttemptDirectory(a.directory)
    lines = map(json.loads, (d.spool / "supervisor.jsonl").read_text().splitlines())
    forked = next(line["at"] for line in lines if line["k"] == "phase" and line["text"] == "starting")
    enqueued = a.job.events.earliest("id").at
    rows = [t.timestamp() for t in (enqueued, a.assigned_at, a.started_at)]
    print(json.dumps([*rows, d.read_state().started_at, forked]))
"""


@pytest.fixture(params=["cold", "warm"])
def fourwalls(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[tuple[str, Fourwalls]]:
    """cold: a new supervisor process, and a rank that ends at once. warm: both forked from the fork server."""
    trainer = tmp_path / "trainer"
    trainer.write_text("#!/bin/sh\nexit 0\n")
    trainer.chmod(0o700)
    cold = {"FOURWALLS_FORK_SERVER": "0", "TRAINER_PYTHON": str(trainer)}
    running = Fourwalls(tmp_path / "home", free_port(), cold if request.param == "cold" else {})
    try:
        running.start("--no-demo").wait_for_link()
        if request.param == "warm":
            wait_until(lambda: (running.home / "node" / "fork.sock").exists(), description="the fork server")
        yield request.param, running
    finally:
        running.interrupt()
        running.kill()


def submit_and_wait(running: Fourwalls, token: str) -> None:
    spec = parse(with_changes({"name": "enqueue"}, [*TINY, "budget.steps=1", "optimiser.warmup_steps=0"]))

    def ask(path: str, body: bytes | None = None) -> dict:
        headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
        with urllib.request.urlopen(urllib.request.Request(running.url + path, body, headers)) as answer:
            return json.load(answer)

    job = ask("/api/v1/jobs", json.dumps(spec.model_dump()).encode())["id"]
    wait_until(lambda: ask(f"/api/v1/jobs/{job}")["state"] == "succeeded", description="success")


def test_enqueue_to_rank_process_started(fourwalls: tuple[str, Fourwalls]):
    kind, running = fourwalls
    token = running.manage("token", "perf").stdout.strip()
    for _ in range(ROUNDS[kind] + 1):  # the first one is discarded: it prepares the corpus
        submit_and_wait(running, token)
    rows = [json.loads(line) for line in running.manage("shell", "-v0", "-c", TIMES).stdout.splitlines()][1:]
    assert len(rows) == ROUNDS[kind]
    print(f"\n{kind}: enqueue -> rank process started, {len(rows)} jobs, load {os.getloadavg()[0]:.1f}")
    medians = [
        print_percentiles(name, [row[i + 1] - row[i] for row in rows]) for i, name in enumerate(SHARES)
    ]
    print_percentiles("total", [row[-1] - row[0] for row in rows])
    if kind == "cold":
        print_percentiles("(bare start)", [bare_start_s() for _ in range(10)])
    assert sum(medians[:3]) < LIMIT_P50_S


def bare_start_s() -> float:
    """Seconds of an interpreter that only imports a supervisor's modules: the limit of the supervisor's part."""
    began = time.monotonic()
    subprocess.run([sys.executable, "-c", "import engine.supervisor.supervise"], cwd=ROOT, check=True)
    return time.monotonic() - began


def print_percentiles(name: str, seconds: list[float]) -> float:
    """Print p50 and p95; return p50."""
    cuts = quantiles(seconds, n=20)
    print(f"  {name:<12} p50 {1000 * cuts[9]:7.0f} ms   p95 {1000 * cuts[18]:7.0f} ms")
    return cuts[9]
