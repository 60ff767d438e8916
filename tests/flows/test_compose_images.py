"""docker-compose.yml as images and volumes: it trains, and recreated containers lose nothing.

Runs where FOURWALLS_COMPOSE=1 is set, with a Docker engine, compose and both images: `docker compose build` first.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from tests.flows.compose_file import own_services
from tests.flows.containers import Containers
from tests.running import ROOT, TINY, changes, wait_until

pytestmark = [
    pytest.mark.slow,
    pytest.mark.services,
    pytest.mark.timeout(1800),
    pytest.mark.skipif(
        os.environ.get("FOURWALLS_COMPOSE") != "1", reason="needs FOURWALLS_COMPOSE=1, Docker, images"
    ),
]
STEPS, SAVED_EVERY = 1200, 200
LONG = [*TINY, "precision.dtype=fp32", f"budget.steps={STEPS}", f"budget.checkpoint_every={SAVED_EVERY}",
        "budget.validate_every=300", "budget.keep_checkpoints=10"]  # fmt: skip
CLIENT = """
import sys, fourwalls
run = fourwalls.init(project="outside", name="logged", config={"lr": 0.1})
for step in range(500):
    run.log({"loss": 1 / (step + 1)}, step=step)
run.save("weights.bin")
run.finish()
print(run.id)
"""

LIVE = """
import pathlib, time, fourwalls
run = fourwalls.init(project="outside", name="live")
step = 0
while not pathlib.Path("enough").exists():
    run.log({"value": step * 0.5}, step=step)
    step += 1
    time.sleep(0.02)
run.finish()
print(run.id, step)
"""


@pytest.fixture(scope="module")
def containers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Containers]:
    one = Containers(tmp_path_factory.mktemp("compose"))
    try:
        one.up()
        yield one
    finally:
        one.compose("down", "--volumes", "--timeout", "20", check=False)


@pytest.fixture(scope="module")
def corpus(containers: Containers) -> str:
    """An uploaded data set as a spec names it."""
    lines = "".join(f"line {number} of {number * number % 97} and more\n" for number in range(3000))
    found = json.loads(containers.fetch("/datasets?file_name=lines.txt&name=lines", lines.encode()))
    assert found["state"] == "ready"
    return str(found["corpus"])


def start_client(containers: Containers, script: str) -> subprocess.Popen[str]:
    containers.get("/nodes")  # makes the token
    own = {
        "FOURWALLS_URL": containers.url, "FOURWALLS_TOKEN": containers.token, "PYTHONPATH": str(ROOT),
        "FOURWALLS_FINISH_S": "120",
    }  # fmt: skip
    return subprocess.Popen(
        [sys.executable, "-c", script],
        cwd=containers.folder,
        env=os.environ | own,
        stdout=subprocess.PIPE,
        text=True,
    )


@pytest.fixture(scope="module")
def logged(containers: Containers) -> str:
    """A run of the client with a file, logged from outside."""
    (containers.folder / "weights.bin").write_bytes(os.urandom(300_000))
    return start_client(containers, CLIENT).communicate(timeout=180)[0].split()[-1]


@contextmanager
def logging_meanwhile(containers: Containers) -> Iterator[None]:
    """A client that logs from outside all the time; afterwards the server has each of its points."""
    enough = containers.folder / "enough"
    client = start_client(containers, LIVE)
    try:
        yield
    finally:
        enough.touch()
        output = client.communicate(timeout=180)[0]
        enough.unlink()
    run, num_steps = output.split()[-2:]
    steps, values, _ = containers.series(run, "value")["value:run"]
    assert int(num_steps) > 100
    assert (steps, values) == (list(range(int(num_steps))), [step * 0.5 for step in range(int(num_steps))])


@pytest.fixture(scope="module")
def undisturbed(containers: Containers, corpus: str) -> dict[str, Any]:
    """The points of the long training that nothing interrupts."""
    made = containers.submit(changes([*LONG, f"data.corpus={corpus}"]))
    assert containers.wait_for_end(made["job"])["state"] == "succeeded"
    return containers.series(made["run"], "loss", "validation_loss")


def recreate(one: Containers) -> None:
    one.up("--force-recreate")


def down_and_up(one: Containers) -> None:
    one.compose("down")
    one.up()


def stop_all_at_once(one: Containers) -> None:
    """As a machine that shuts down: the database is gone before the agent has stopped its ranks."""
    names = one.compose("ps", "-q").split()
    subprocess.run(["docker", "stop", "--time", "180", *names], check=True, capture_output=True)
    one.up()


def kill_agent(one: Containers) -> None:
    subprocess.run(["docker", "kill", one.container("agent")], check=True, capture_output=True)
    one.up()


def recreate_database_and_broker(one: Containers) -> None:
    one.up("--force-recreate", "--no-deps", "database", "broker")


# Interruption -> attempts of the job afterwards, and the most steps that are repeated.
WAYS: dict[Callable[[Containers], None], tuple[int, int]] = {
    recreate: (2, 0),
    down_and_up: (2, 0),
    stop_all_at_once: (2, 0),
    kill_agent: (2, SAVED_EVERY),
    recreate_database_and_broker: (1, 0),
}


def test_a_person_logs_in_and_a_job_trains(containers: Containers):
    assert "/jobs/" in containers.log_in().splitlines()[0]
    made = containers.submit(changes(TINY))
    ended = containers.wait_for_end(made["job"])
    assert (ended["state"], ended["step"]) == ("succeeded", 20), containers.compose("logs", "agent")
    assert "demo" in containers.page(f"/runs/{made['run']}/")


@pytest.mark.parametrize("name", sorted(set(own_services()) - {"migrate", "agent-gpu"}))
def test_a_service_owns_what_is_mounted_and_is_no_root(containers: Containers, name: str):
    shown = containers.compose("exec", "-T", name, "sh", "-c", "id -un; stat -c %U:%a /var/lib/fourwalls/*/")
    user, *owners = shown.split()
    assert user == "fourwalls" and {one.split(":")[0] for one in owners} == {"fourwalls"}


def test_the_broker_refuses_who_has_no_password(containers: Containers):
    shell = ["exec", "-T", "broker", "sh", "-c"]
    assert "NOAUTH" in containers.compose(*shell, "unset REDISCLI_AUTH; valkey-cli ping 2>&1; true")
    assert "PONG" in containers.compose(*shell, "valkey-cli ping")


@pytest.mark.parametrize("way", WAYS, ids=lambda way: way.__name__)
def test_a_training_goes_on_and_nothing_is_lost(containers, corpus, logged, undisturbed, way):
    before = containers.everything()
    assert before["runs"][logged]["files"] and len(before["datasets"]) == 1
    num_attempts, again = WAYS[way]
    made = containers.submit(changes([*LONG, f"data.corpus={corpus}"]))
    wait_until(
        lambda: containers.get(f"/jobs/{made['job']}")["step"] >= SAVED_EVERY + 20,
        120, "the middle of the training",
    )  # fmt: skip
    with logging_meanwhile(containers):
        way(containers)
    ended = containers.wait_for_end(made["job"])
    assert (ended["state"], ended["step"], ended["attempt"]) == ("succeeded", STEPS, num_attempts)
    found = containers.series(made["run"], "loss", "validation_loss")
    assert {key: value[:2] for key, value in found.items()} == {
        key: value[:2] for key, value in undisturbed.items()
    }
    assert found["loss:run"][2] <= again
    after = containers.everything()
    after["runs"] = {run: kept for run, kept in after["runs"].items() if run in before["runs"]}
    assert after == before
    assert "/login/" not in containers.page("/jobs/").splitlines()[0]  # the session outlives the containers


def test_no_secret_is_in_the_logs(containers: Containers):
    text = containers.compose("logs", "--no-color")
    assert "Running migrations" in text
    assert [name for name, value in containers.secrets.items() if value in text] == []
