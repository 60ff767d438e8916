"""Random kill -9 and SIGSTOP of all processes: every job ends once and no device is shared.

CHAOS_S sets the duration of the faults (120 s); CHAOS_SEED repeats them, as far as processes are deterministic.
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
from tests.chaos.fault_injector import FaultInjector
from tests.chaos.invariants import (
    assert_each_ended_once,
    assert_every_success_reached_the_end,
    assert_no_device_was_shared,
    read_journal,
)
from tests.chaos.user_load import UserLoad
from tests.running import ROOT, wait_until
from tests.services import Postgresql

FAULTS_S = float(os.environ.get("CHAOS_S", "120"))
SHORT_FAULTS_S = 15.0
SETTLE_LIMIT_S = 240.0


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


def inject_faults(
    cluster: Cluster, seconds: float, waiting: int, seed: int
) -> tuple[UserLoad, FaultInjector]:
    users, injector = (
        UserLoad(cluster, random.Random(seed + 1), waiting),
        FaultInjector(cluster, random.Random(seed)),
    )
    people = (users, admin := Admin(cluster, random.Random(seed + 2)))
    for person in people:
        person.start()
    began, is_wiped = time.monotonic(), False
    while time.monotonic() < began + seconds:
        assert all(person.is_alive() for person in people), "the threads that submit and drain must run"
        injector.inject()
        if not is_wiped and time.monotonic() > began + seconds / 2:
            injector.wipe_broker()
            is_wiped = True
        cluster.restart_dead()
        time.sleep(0.05)
    injector.resume_processes()
    for person in people:
        person.stop_requested.set()
    while any(person.is_alive() for person in people):
        cluster.restart_dead()
        time.sleep(0.05)
    injector.counts += admin.counts + Counter({"job paused": users.num_pauses})
    return users, injector


def run_fault_test(cluster: Cluster, seconds: float, waiting: int) -> None:
    seed = int(os.environ.get("CHAOS_SEED") or random.SystemRandom().randrange(10**6))
    users, injector = inject_faults(cluster, seconds, waiting, seed)
    database = "PostgreSQL" if cluster.server else "SQLite"
    print(f"\n{database}, {seconds:.0f} s, CHAOS_SEED={seed}: {dict(sorted(injector.counts.items()))}")
    began = time.monotonic()
    wait_until(lambda: (cluster.restart_dead(), users.is_done())[1], SETTLE_LIMIT_S, "the end of every job")
    settle_s = time.monotonic() - began
    records = read_job_records(cluster)
    cluster.stop()
    journal = read_journal(cluster.journal)
    spans = assert_no_device_was_shared(journal)
    print_summary(records, spans, settle_s)
    assert_each_ended_once(records, users.submitted)
    assert_every_success_reached_the_end(records, journal)
    wait_until(lambda: not cluster.processes(), 10.0, f"nothing left behind: {cluster.processes()}")


def read_job_records(cluster: Cluster) -> dict[str, Any]:
    command = [sys.executable, str(HERE / "job_records.py")]
    done = subprocess.run(
        command, cwd=ROOT, env=cluster.environment, capture_output=True, text=True, check=True
    )
    return json.loads(done.stdout)


def print_summary(records: dict[str, Any], spans: int, settle_s: float) -> None:
    attempts = records["attempts"]
    causes = Counter(attempt["cause"] for attempt in attempts)
    print(
        f"  jobs {dict(Counter(job['state'] for job in records['jobs']))}, all ended {settle_s:.0f} s after the faults"
    )
    print(f"  attempts {dict(Counter(attempt['state'] for attempt in attempts))} by cause {dict(causes)}")
    spread = [attempt for attempt in attempts if attempt["num_nodes"] > 1]
    print(f"  over several nodes {dict(Counter(attempt['state'] for attempt in spread))}; "
          f"preempted {sum(a['yield_reason'].startswith('Preempted') for a in attempts)}")  # fmt: skip
    print(f"  requeues {sum(attempt['number'] > 1 for attempt in attempts)}, "
          f"of them resumed {sum(bool(attempt['resumed_from']) for attempt in attempts)}; "
          f"rank processes on devices {spans}; overlaps stopped by the lock: "
          f"{causes[Cause.DEVICE_HELD]} refused, {records['lock_waits']} made to wait")  # fmt: skip


@pytest.mark.chaos
@pytest.mark.timeout(1200)
def test_random_faults_lose_no_job_and_share_no_device(cluster: Cluster):
    run_fault_test(cluster, FAULTS_S, waiting=20)  # enough to be busy while the web server is away


@pytest.mark.services
@pytest.mark.timeout(400)
def test_a_few_random_faults_lose_no_job_and_share_no_device(cluster: Cluster):
    run_fault_test(cluster, SHORT_FAULTS_S, waiting=5)
