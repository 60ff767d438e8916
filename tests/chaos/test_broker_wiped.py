"""Deletion of the broker's data while fifty jobs wait: no job is lost and none runs twice."""

from __future__ import annotations

import os
import signal
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.chaos.cluster import Cluster
from tests.chaos.invariants import assert_each_ended_once, assert_no_device_was_shared, read_journal
from tests.chaos.test_chaos import read_job_records
from tests.chaos.user_load import spec
from tests.running import wait_until

WAITING = 50


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[Cluster]:
    cluster = Cluster(tmp_path)
    try:
        yield cluster.start()
    finally:
        cluster.kill()


@pytest.mark.services
def test_all_fifty_jobs_run_once(cluster: Cluster):
    agents = cluster.pids("agent")
    for pid in agents:  # no agent may receive its message before the broker is wiped
        os.kill(pid, signal.SIGSTOP)
    jobs = {
        cluster.post("/jobs", spec(f"waits {number}", devices=1, steps=1))["id"] for number in range(WAITING)
    }
    cluster.wipe_broker()
    for pid in agents:
        os.kill(pid, signal.SIGCONT)

    def states() -> Counter[str]:
        cluster.restart_dead()
        answer = cluster.get("/jobs?limit=100")
        return Counter(job["state"] for job in answer["items"]) if answer else Counter()

    wait_until(lambda: states()["succeeded"] == WAITING, limit_s=120, description="fifty successes")
    records = read_job_records(cluster)
    assert_each_ended_once(records, jobs)
    assert len(records["attempts"]) == WAITING, "one attempt per job"
    assert_no_device_was_shared(read_journal(cluster.journal))
