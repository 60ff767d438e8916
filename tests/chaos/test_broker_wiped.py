"""The broker's data deleted while fifty jobs wait: rows are the truth, so nothing is lost and nothing runs twice."""

from __future__ import annotations

import os
import signal
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.chaos.cluster import Cluster
from tests.chaos.crowd import spec
from tests.chaos.proof import assert_each_ended_once, assert_no_device_was_shared, read_journal
from tests.chaos.test_chaos import read_ledger
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
def test_all_fifty_run(cluster: Cluster):
    agents = cluster.pids("agent")
    for pid in agents:  # nobody may answer a doorbell before it is lost
        os.kill(pid, signal.SIGSTOP)
    jobs = {
        cluster.post("/jobs", spec(f"waits {number}", devices=1, steps=1))["id"] for number in range(WAITING)
    }
    cluster.wipe_broker()
    for pid in agents:
        os.kill(pid, signal.SIGCONT)

    def states() -> Counter[str]:
        cluster.keep()
        answer = cluster.get("/jobs?limit=100")
        return Counter(job["state"] for job in answer["items"]) if answer else Counter()

    wait_until(lambda: states()["succeeded"] == WAITING, limit_s=120, description="fifty successes")
    ledger = read_ledger(cluster)
    assert_each_ended_once(ledger, jobs)
    assert len(ledger["attempts"]) == WAITING, "once each"
    assert_no_device_was_shared(read_journal(cluster.journal))
