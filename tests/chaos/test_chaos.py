"""kill -9 and SIGSTOP of everything, every second: every job ends once, no device is shared, nothing is left behind.

CHAOS_S sets how long the storm blows (120), CHAOS_SEED makes one happen again, as far as processes can.
"""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from jobs.states.jobs import Cause
from tests.chaos.admin import Admin
from tests.chaos.cluster import HERE, Cluster
from tests.chaos.crowd import Crowd
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
CALM_LIMIT_S = 240.0


@pytest.fixture(params=["sqlite", "postgresql"])
def cluster(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Cluster]:
    server = Postgresql() if request.param == "postgresql" else None
    if server:
        assert server.start()
        server.create_database()
    cluster = Cluster(tmp_path, server)
    try:
        yield cluster.start()
    finally:
        cluster.kill()


def blow(cluster: Cluster, seconds: float, waiting: int, seed: int) -> tuple[Crowd, Storm]:
    crowd, storm = Crowd(cluster, random.Random(seed + 1), waiting), Storm(cluster, random.Random(seed))
    people = (crowd, admin := Admin(cluster, random.Random(seed + 2)))
    for person in people:
        person.start()
    began, is_wiped = time.monotonic(), False
    while time.monotonic() < began + seconds:
        assert all(person.is_alive() for person in people), "somebody must submit, and drain"
        storm.blow()
        if not is_wiped and time.monotonic() > began + seconds / 2:
            storm.wipe_broker()
            is_wiped = True
        cluster.keep()
        time.sleep(0.05)
    storm.calm()
    for person in people:
        person.go_home.set()
    while any(person.is_alive() for person in people):
        cluster.keep()
        time.sleep(0.05)
    storm.counts += admin.counts + Counter({"job paused": crowd.num_pauses})
    return crowd, storm


def weather(cluster: Cluster, seconds: float, waiting: int) -> None:
    seed = int(os.environ.get("CHAOS_SEED") or random.SystemRandom().randrange(10**6))
    crowd, storm = blow(cluster, seconds, waiting, seed)
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
    spread = [attempt for attempt in attempts if attempt["num_nodes"] > 1]
    print(f"  over several nodes {dict(Counter(attempt['state'] for attempt in spread))}; "
          f"preempted {sum(a['yield_reason'].startswith('Preempted') for a in attempts)}")  # fmt: skip
    print(f"  requeues {sum(attempt['number'] > 1 for attempt in attempts)}, "
          f"of them resumed {sum(bool(attempt['resumed_from']) for attempt in attempts)}; "
          f"rank processes on devices {spans}; overlaps stopped by the lock: "
          f"{causes[Cause.DEVICE_HELD]} refused, {ledger['lock_waits']} made to wait")  # fmt: skip


@pytest.mark.chaos
@pytest.mark.timeout(1200)
def test_a_storm_loses_no_job_and_shares_no_device(cluster: Cluster):
    weather(cluster, STORM_S, waiting=20)  # enough to be busy while the web server is away


@pytest.mark.services
@pytest.mark.timeout(400)
def test_a_short_storm_loses_no_job_and_shares_no_device(cluster: Cluster):
    weather(cluster, SHORT_STORM_S, waiting=5)
