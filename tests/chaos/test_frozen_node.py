"""A node that was frozen past the time of reassignment, whose old ranks still hold their devices."""

from __future__ import annotations

import os
import signal
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from jobs.states.jobs import Cause
from tests.chaos.cluster import Cluster
from tests.chaos.invariants import assert_each_ended_once, assert_no_device_was_shared, read_journal
from tests.chaos.test_chaos import read_job_records
from tests.chaos.user_load import spec
from tests.running import wait_until


@pytest.fixture(params=[{"a": 2}, {"a": 1, "b": 1}], ids=["one node", "two nodes"])
def cluster(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Cluster]:
    """No more devices than the job needs, so that the next attempt gets the same ones."""
    cluster = Cluster(tmp_path, nodes=dict(request.param))
    try:
        yield cluster.start()
    finally:
        cluster.kill()


def send(pids: list[int], number: signal.Signals) -> None:
    for pid in pids:
        os.kill(pid, number)


def num_started(cluster: Cluster) -> int:
    return sum(line["what"] == "begin" for lines in read_journal(cluster.journal).values() for line in lines)


@pytest.mark.services
def test_the_lock_keeps_the_next_attempt_off_until_the_old_ranks_are_gone(cluster: Cluster):
    job = cluster.post("/jobs", spec("sleeper", devices=2, steps=60))["id"]
    wait_until(lambda: num_started(cluster) == 2, description="two ranks at work")
    frozen = list(cluster.nodes)[-1]
    agent, attempt = [cluster.agent_of(frozen)], cluster.pids_on(frozen)
    send(agent + attempt, signal.SIGSTOP)
    wait_until(
        lambda: (cluster.get(f"/jobs/{job}") or {}).get("state") == "queued",
        limit_s=120,  # took more than 60 s on a busy host
        description="the attempt is given up",
    )
    send(agent, signal.SIGCONT)
    # The second attempt is refused its devices; later attempts cost no retry.
    wait_until(
        lambda: (cluster.get(f"/jobs/{job}") or {}).get("attempt", 0) >= 3, description="a third attempt"
    )
    send(attempt, signal.SIGCONT)
    wait_until(lambda: (cluster.get(f"/jobs/{job}") or {}).get("state") == "succeeded", description="success")
    records = read_job_records(cluster)
    cluster.stop()
    assert_no_device_was_shared(read_journal(cluster.journal))
    causes = Counter(attempt["cause"] for attempt in records["attempts"])
    refused = causes[Cause.DEVICE_HELD] + causes[Cause.GANG]
    assert causes[Cause.LOST] == causes[Cause.DONE] == 1 and refused >= 1, causes
    assert_each_ended_once(records, {job})
    assert not cluster.processes()
