"""Real training of four ranks on two nodes.

Each node has its own agent, folder and devices. A killed node costs only the steps since the last checkpoint.
"""

from __future__ import annotations

import contextlib
import json
import sqlite3
from collections.abc import Iterator

import pytest

from tests.nodes import ExtraNode
from tests.running import TINY, Fourwalls, changes, free_port, wait_until

pytestmark = [pytest.mark.ranks, pytest.mark.timeout(420)]

STEPS = 400
SPEC = [
    *TINY, f"budget.steps={STEPS}", "budget.checkpoint_every=50", "budget.validate_every=0", "parallel.data=4",
    "batch.micro_batch_size=2", "precision.dtype=fp32",
]  # fmt: skip
STATE = """
import json
from jobs.models import Job, AttemptNode
job = Job.objects.get(id={job!r})
print(json.dumps([job.state, job.step, job.attempt_number, job.reason or job.waiting_reason, [
    [a.number, a.state, a.reason, a.num_nodes, a.resumed_from, sorted(m.node.name for m in a.attempt_nodes.all())]
    for a in job.attempts.all()]]))
"""
LOSS = """
import json
from jobs import series
(found,) = series.read([{run!r}], ["loss"], points=10000)
assert found.is_raw
print(json.dumps([found.x.tolist(), found.mean.tolist()]))
"""


@pytest.fixture(scope="module")
def fourwalls(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fourwalls]:
    home = tmp_path_factory.mktemp("nodes")
    environment = {
        "FOURWALLS_CPU_DEVICES": "2", "FOURWALLS_CHECKPOINT_ROOT": str(home / "shared"), "OMP_NUM_THREADS": "1",
        "FOURWALLS_UNREACHABLE_AFTER_S": "8", "FOURWALLS_NODE_ADDRESS": "127.0.0.1", "FOURWALLS_NODE_NAME": "a",
    }  # fmt: skip
    running = Fourwalls(home, free_port(), environment).start("--no-demo")
    others = [ExtraNode(running, name) for name in ("b", "c")]
    try:
        running.wait_for_link()  # the tables exist now
        for node in others:
            node.start()
        wait_until(
            lambda: shell(running, "from jobs.models import Device; print(Device.objects.count())") == 6
        )
        # The first node that joins creates the pool.
        changed = shell(
            running, "from jobs.models import Pool; print(Pool.objects.update(allows_several_nodes=True))"
        )
        assert changed == 1
        for folder in (home / "node", *(node.folder for node in others)):
            wait_until((folder / "fork.sock").exists, limit_s=90, description=f"the fork server in {folder}")
        running.others = {node.name: node for node in others}  # type: ignore[attr-defined]
        yield running
    finally:
        running.interrupt()
        for node in others:
            node.kill()
        running.kill()


def shell(running: Fourwalls, code: str):
    return json.loads(running.manage("shell", "-v0", "-c", code).stdout.splitlines()[-1])


def submit(running: Fourwalls, *more: str) -> dict[str, str]:
    return json.loads(
        running.manage("submit", "demo", *changes([*SPEC, *more]), "--json").stdout.splitlines()[0]
    )


def read_state(running: Fourwalls, job: str):
    return shell(running, STATE.format(job=job))


def read_step(running: Fourwalls, job: str) -> int:
    """Return the job's step, read from the database file: a command would take longer than many steps."""
    with contextlib.closing(sqlite3.connect(running.home / "fourwalls.sqlite3")) as database:
        return database.execute("select step from jobs_job where id = ?", (job,)).fetchone()[0]


def ended(running: Fourwalls, job: str):
    return wait_until(
        lambda: (now := read_state(running, job))[0] in ("succeeded", "failed", "cancelled") and now,
        limit_s=150,
        description="the end",
    )


def loss(running: Fourwalls, run: str) -> dict[int, float]:
    steps, values = shell(running, LOSS.format(run=run))
    return dict(zip(steps, values, strict=True))


@pytest.fixture(scope="module")
def whole(fourwalls: Fourwalls) -> dict[str, str]:
    """A job that ran on two nodes from start to end."""
    found = submit(fourwalls)
    state, step, attempt, reason, attempts = ended(fourwalls, found["job"])
    assert (state, step, attempt) == ("succeeded", STEPS, 1), (reason, attempts)
    assert len(attempts[0][-1]) == 2, "two nodes"
    return found


@pytest.fixture(scope="module")
def undisturbed(fourwalls: Fourwalls, whole: dict[str, str]) -> dict[int, float]:
    curve = loss(fourwalls, whole["run"])
    assert list(curve) == list(range(1, STEPS + 1))
    return curve


def test_a_run_on_two_nodes_begins_with_the_weights_that_another_has_learnt(
    fourwalls: Fourwalls, whole: dict[str, str], undisturbed: dict[int, float]
):
    found = submit(fourwalls, "budget.steps=5", f"start_from={whole['run']}")
    state, step, _, reason, attempts = ended(fourwalls, found["job"])
    assert (state, step, len(attempts[0][-1])) == ("succeeded", 5, 2), reason
    untaught, taught = undisturbed[1], undisturbed[STEPS]
    assert abs(loss(fourwalls, found["run"])[1] - taught) < abs(untaught - taught) / 2


def test_an_agent_killed_while_its_ranks_train_finds_them_again(fourwalls: Fourwalls, undisturbed):
    found = submit(fourwalls)
    wait_until(lambda: read_step(fourwalls, found["job"]) > 75, description="75 steps", limit_s=90)
    nodes = read_state(fourwalls, found["job"])[4][0][-1]
    victim = next(name for name in ("b", "c") if name in nodes)
    fourwalls.others[victim].restart_agent()  # type: ignore[attr-defined]
    state, step, attempt, reason, _ = ended(fourwalls, found["job"])
    assert (state, step, attempt) == ("succeeded", STEPS, 1), reason
    assert loss(fourwalls, found["run"]) == undisturbed


def test_a_killed_node_costs_only_the_steps_since_the_last_checkpoint(fourwalls: Fourwalls, undisturbed):
    lose_a_node(fourwalls, fourwalls.others, undisturbed)  # type: ignore[attr-defined]


def lose_a_node(fourwalls: Fourwalls, nodes: dict[str, ExtraNode], undisturbed: dict[int, float]) -> None:
    """Kill one of two nodes during a run. It resumes from its checkpoint on another node with the same loss curve."""
    found = submit(fourwalls)
    wait_until(lambda: read_step(fourwalls, found["job"]) > 75, description="75 steps", limit_s=90)
    held = read_state(fourwalls, found["job"])[4][0][-1]
    victim = next(name for name in nodes if name in held)
    nodes[victim].kill()
    state, step, attempt, reason, (first, second) = ended(fourwalls, found["job"])
    assert (state, step, attempt) == ("succeeded", STEPS, 2), reason
    assert (first[1], second[3]) == ("lost", 2)
    assert first[2] == f"Node {victim}: no heartbeat for 8 s"
    assert victim in first[-1] and victim not in second[-1]
    assert second[4].startswith(f"{found['job']}-1/step-"), (
        "resumed from the shared root, to which its path is relative"
    )
    assert loss(fourwalls, found["run"]) == undisturbed
