"""kill -9 and SIGSTOP of everything, every second: every job ends once, no device is shared, nothing is left behind.

CHAOS_S sets how long the storm blows (120), CHAOS_SEED makes one happen again, as far as processes can.
"""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from jobs.states import Cause
from tests.chaos.cluster import HERE, Cluster
from tests.chaos.proof import (
    assert_each_ended_once,
    assert_every_success_was_worked_for,
    assert_no_device_was_shared,
    read_journal,
)
from tests.chaos.storm import Storm
from tests.running import ROOT, wait_until
from tests.services import Postgresql

STORM_S = float(os.environ.get("CHAOS_S", "120"))
SHORT_STORM_S = 15.0
GANGS = (1, 1, 2, 2, 4)
WAITING = 6  # jobs kept in the queue while the storm blows
CANCEL_SHARE = 0.1
CALM_LIMIT_S = 240.0

TINY = {"layers": 2, "width": 32, "heads": 2, "ffn_width": 64, "context": 32}


@pytest.fixture(params=["sqlite", "postgresql"])
def cluster(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Cluster]:
    server = Postgresql() if request.param == "postgresql" else None
    if server:
        assert server.start()
        server.create()
    cluster = Cluster(tmp_path, server)
    try:
        yield cluster.start()
    finally:
        cluster.kill()


class Crowd(threading.Thread):
    """People who submit and cancel through the API, whatever happens to it; they wait for its answers."""

    def __init__(self, cluster: Cluster, pick: random.Random) -> None:
        super().__init__(daemon=True)
        self.cluster, self.pick = cluster, pick
        self.acknowledged: set[str] = set()
        self.go_home = threading.Event()

    def run(self) -> None:
        while not self.go_home.wait(0.3):
            waiting = self.jobs("queued")
            if waiting is None or len(waiting) >= WAITING:
                continue
            job = self.submit()
            if job and self.pick.random() < CANCEL_SHARE:
                self.cluster.post(f"/jobs/{job}/cancel")

    def submit(self) -> str | None:
        devices = self.pick.choice(GANGS)
        spec = {
            "name": f"chaos {len(self.acknowledged)}",
            "model": TINY,
            "data": {"tokenizer": "bytes"},
            "parallel": {"data": devices},
            "batch": {"global_batch_size": 8 * devices, "micro_batch_size": 4},
            "budget": {"steps": self.pick.randint(4, 24), "validate_every": 0, "checkpoint_every": 4},
            "optimiser": {"warmup_steps": 1},
        }
        job = self.cluster.post("/jobs", spec)
        if job is None:
            return None  # it may stand in the queue all the same: then it must end as well
        self.acknowledged.add(job["id"])
        return job["id"]

    def jobs(self, state: str = "") -> list[dict[str, Any]] | None:
        answer = self.cluster.get(f"/jobs?limit=500&state={state}")
        return answer and answer["items"]

    def is_done(self) -> bool:
        jobs = self.jobs()
        return jobs is not None and all(job["ended_at"] for job in jobs)


def blow(cluster: Cluster, seconds: float, seed: int) -> tuple[Crowd, Storm]:
    crowd, storm = Crowd(cluster, random.Random(seed + 1)), Storm(cluster, random.Random(seed))
    crowd.start()
    began, is_wiped = time.monotonic(), False
    while time.monotonic() < began + seconds:
        storm.blow()
        if not is_wiped and time.monotonic() > began + seconds / 2:
            storm.wipe_broker()
            is_wiped = True
        cluster.keep()
        time.sleep(0.05)
    storm.calm()
    crowd.go_home.set()
    while crowd.is_alive():
        cluster.keep()
        time.sleep(0.05)
    return crowd, storm


def weather(cluster: Cluster, seconds: float) -> None:
    seed = int(os.environ.get("CHAOS_SEED") or random.SystemRandom().randrange(10**6))
    crowd, storm = blow(cluster, seconds, seed)
    database = "PostgreSQL" if cluster.server else "SQLite"
    print(f"\n{database}, {seconds:.0f} s, CHAOS_SEED={seed}: {dict(sorted(storm.counts.items()))}")
    began = time.monotonic()
    wait_until(lambda: (cluster.keep(), crowd.is_done())[1], CALM_LIMIT_S, "the end of every job")
    calm_s = time.monotonic() - began
    ledger = read_ledger(cluster)
    cluster.stop()
    journal = read_journal(cluster.journal)
    spans = assert_no_device_was_shared(journal)
    tell(ledger, spans, calm_s)
    assert_each_ended_once(ledger, crowd.acknowledged)
    assert_every_success_was_worked_for(ledger, journal)
    wait_until(lambda: not cluster.processes(), 10.0, f"nothing left behind: {cluster.processes()}")


def read_ledger(cluster: Cluster) -> dict[str, Any]:
    command = [sys.executable, str(HERE / "ledger.py")]
    done = subprocess.run(
        command, cwd=ROOT, env=cluster.environment, capture_output=True, text=True, check=True
    )
    return json.loads(done.stdout)


def tell(ledger: dict[str, Any], spans: int, calm_s: float) -> None:
    attempts = ledger["attempts"]
    causes = Counter(attempt["cause"] for attempt in attempts)
    print(
        f"  jobs {dict(Counter(job['state'] for job in ledger['jobs']))}, all ended {calm_s:.0f} s after the storm"
    )
    print(f"  attempts {dict(Counter(attempt['state'] for attempt in attempts))} by cause {dict(causes)}")
    print(f"  requeues {sum(attempt['number'] > 1 for attempt in attempts)}, "
          f"of them resumed {sum(bool(attempt['resumed_from']) for attempt in attempts)}; "
          f"rank processes on devices {spans}; overlaps stopped by the lock: "
          f"{causes[Cause.DEVICE_HELD]} refused, {ledger['lock_waits']} made to wait")  # fmt: skip


@pytest.mark.chaos
@pytest.mark.timeout(1200)
def test_a_storm_loses_no_job_and_shares_no_device(cluster: Cluster):
    weather(cluster, STORM_S)


@pytest.mark.services
@pytest.mark.timeout(400)
def test_a_short_storm_loses_no_job_and_shares_no_device(cluster: Cluster):
    weather(cluster, SHORT_STORM_S)
