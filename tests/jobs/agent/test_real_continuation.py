"""Real ranks that continue on another node without a shared folder: drained, then killed, bit-equal to the end."""

from __future__ import annotations

import contextlib
import json
import sqlite3
from collections.abc import Iterator
from typing import Any

import pytest

from tests.nodes import ExtraNode
from tests.running import TINY, Fourwalls, changes, free_port, wait_until

pytestmark = [pytest.mark.ranks, pytest.mark.timeout(900)]

STEPS = 200
SPEC = [
    *TINY, f"budget.steps={STEPS}", "budget.checkpoint_every=25", "budget.validate_every=0", "parallel.data=1",
    "precision.dtype=fp32", "model.dropout=0.1",
]  # fmt: skip
STATE = """
import json
from jobs import series
from jobs.models import Job
job = Job.objects.get(id={job!r})
(found,) = series.read([job.run.id], ["loss"], points=100000)
print(json.dumps({{
    "state": job.state, "why": job.reason or job.waiting_reason, "code": job.waiting_for.get("code", ""),
    "attempts": [[a.node.name, a.resumed_from] for a in job.attempts.order_by("number")],
    "events": [e.text for e in job.events.order_by("id")], "loss": [found.x.tolist(), found.mean.tolist()],
}}))
"""


@pytest.fixture
def nodes(tmp_path) -> Iterator[tuple[Fourwalls, ExtraNode]]:
    environment = {
        "FOURWALLS_CPU_DEVICES": "1", "OMP_NUM_THREADS": "1", "FOURWALLS_NODE_NAME": "a",
        "FOURWALLS_UNREACHABLE_AFTER_S": "8", "FOURWALLS_REASSIGN_AFTER_S": "20", "FOURWALLS_STOP_GRACE_S": "5",
    }  # fmt: skip
    running = Fourwalls(tmp_path / "home", free_port(), environment).start("--no-demo")
    other = ExtraNode(running, "b")
    try:
        running.wait_for_link()
        other.start()
        for folder in (running.home / "node", other.folder):
            wait_until((folder / "fork.sock").exists, limit_s=120, description=f"the fork server in {folder}")
        yield running, other
    finally:
        running.interrupt()
        other.kill()
        running.kill()


def ask(running: Fourwalls, job: str) -> dict[str, Any]:
    return json.loads(running.manage("shell", "-v0", "-c", STATE.format(job=job)).stdout.splitlines()[-1])


def submit(running: Fourwalls) -> str:
    return json.loads(running.manage("submit", "demo", *changes(SPEC), "--json").stdout.splitlines()[0])[
        "job"
    ]


def column(running: Fourwalls, job: str, name: str) -> Any:
    with contextlib.closing(sqlite3.connect(running.home / "fourwalls.sqlite3")) as database:
        return database.execute(f"select {name} from jobs_job where id = ?", (job,)).fetchone()[0]


def wait_for(running: Fourwalls, job: str, *states: str, limit_s: float = 240) -> None:
    wait_until(
        lambda: column(running, job, "state") in states, limit_s=limit_s, description=f"{job} {states}"
    )


def test_a_drained_and_a_killed_node_leave_the_curve_as_it_would_have_been(nodes):
    running, other = nodes
    whole = submit(running)
    wait_for(running, whole, "succeeded", "failed")
    job = submit(running)
    wait_until(lambda: column(running, job, "step") > 40, limit_s=90, description="steps on a")
    said = running.manage("node", "drain", "a", "--policy=checkpoint", "--reason=test").stdout
    assert f"Job {job} (tiny)" in said or "continues on b from the step where it stops" in said
    wait_until(lambda: column(running, job, "attempt_number") == 2, limit_s=90, description="attempt 2")
    second = wait_until(lambda: column(running, job, "state") == "running" and column(running, job, "step"))
    wait_until(lambda: column(running, job, "step") > second + 40, limit_s=90, description="steps on b")
    other.kill()
    wait_for(running, job, "queued", "failed", limit_s=90)
    wait_until(
        lambda: ask(running, job)["code"] == "CHECKPOINT_AWAY", limit_s=30, description="it waits for b"
    )
    running.manage("node", "uncordon", "a")
    other.start()
    wait_for(running, job, "succeeded", "failed")
    done, reference = ask(running, job), ask(running, whole)
    assert done["state"] == "succeeded", done["why"]
    assert [node for node, _ in done["attempts"]][:2] == ["a", "b"] and len(done["attempts"]) == 3
    assert all(source for _, source in done["attempts"][1:]), "nothing started from step 0"
    for _, source in done["attempts"][1:]:
        assert any(f"resumes from step {int(source.rpartition('-')[2])}." in text for text in done["events"])
    assert done["loss"] == reference["loss"]
    assert done["loss"][0] == list(range(1, STEPS + 1))
