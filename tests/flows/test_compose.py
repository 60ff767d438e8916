"""docker-compose.yml: valid, and its services train against a real PostgreSQL and a real Redis.

No Docker engine is needed: each service's command starts with its own environment, and only host names and
folders are those of this machine.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from tests.flows.compose_file import VARIABLES, services
from tests.running import ROOT, TINY, changes, free_port, wait_until

pytestmark = [pytest.mark.services, pytest.mark.timeout(300)]


def config(variables: dict[str, str]) -> subprocess.CompletedProcess[str]:
    """`docker-compose config` with these variables only."""
    compose = shutil.which("docker-compose")
    if not compose:
        (pytest.fail if os.environ.get("FOURWALLS_REQUIRE_ALL") else pytest.skip)(
            "docker-compose is not installed"
        )
    return subprocess.run(
        [compose, "--profile", "gpu", "config", "--services"],
        cwd=ROOT, env={"PATH": os.environ["PATH"]} | variables, capture_output=True, text=True, check=False,
    )  # fmt: skip


def test_compose_accepts_the_file():
    done = config(VARIABLES)
    assert done.returncode == 0, done.stderr
    assert set(done.stdout.split()) == set(services())


@pytest.mark.parametrize("secret", VARIABLES)
@pytest.mark.parametrize("value", [None, ""])
def test_compose_refuses_to_start_without_a_secret(secret, value):
    variables = {name: text for name, text in VARIABLES.items() if name != secret}
    done = config(variables if value is None else variables | {secret: value})
    assert done.returncode != 0 and secret in done.stderr and "set it in .env" in done.stderr


def test_the_file_defines_every_service():
    assert set(services()) == {"database", "broker", "migrate", "web", "scheduler", "agent", "agent-gpu"}
    assert services()["agent-gpu"]["profiles"] == ["gpu"]


class Team:
    """The services of the compose file as local processes."""

    def __init__(self, home: Path, database_url: str, redis_url: str) -> None:
        self.home, self.port = home, free_port()
        self.hosts = {"DATABASE_URL": database_url, "BROKER_URL": redis_url, "FOURWALLS_HOME": str(home)}
        self.children: list[subprocess.Popen[bytes]] = []

    def environment(self, name: str) -> dict[str, str]:
        folder = services()[name]["environment"]["FOURWALLS_HOME"]
        own = {
            key: str(value).replace(folder, str(self.home))
            for key, value in services()[name]["environment"].items()
        }
        return os.environ | own | self.hosts | {"BASE_URL": f"http://127.0.0.1:{self.port}"}

    def command(self, name: str) -> list[str]:
        words = [sys.executable if word == "python" else word for word in services()[name]["command"]]
        return [str(self.port) if word == "8000" else word for word in words]

    def start(self, name: str) -> None:
        with open(self.home / f"{name}.log", "wb") as output:
            self.children.append(
                subprocess.Popen(
                    self.command(name), cwd=ROOT, env=self.environment(name), stdout=output, stderr=output
                )
            )

    def run(self, name: str, command: list[str]) -> str:
        done = subprocess.run(
            command, cwd=ROOT, env=self.environment(name), capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, f"{command}: {done.stdout}{done.stderr}{self.logs()}"
        return done.stdout

    def logs(self) -> str:
        return "".join(f"\n--- {path.name}\n{path.read_text()[-3000:]}" for path in self.home.glob("*.log"))

    def stop(self) -> None:
        for child in self.children:
            child.terminate()
        psutil.wait_procs([psutil.Process(c.pid) for c in self.children if c.poll() is None], timeout=30)
        for child in self.children:
            child.kill()
            child.wait()


@pytest.fixture
def composed(tmp_path: Path, postgresql: str, redis_url: str) -> Iterator[Team]:
    team = Team(tmp_path, postgresql, redis_url)
    try:
        yield team
    finally:
        team.stop()


@pytest.mark.ranks
def test_a_job_trains_on_postgresql_and_redis(composed: Team):
    composed.run("migrate", composed.command("migrate"))
    for name in ("web", "scheduler", "agent"):
        composed.start(name)
    wait_until(
        lambda: "cpu" in composed.run("web", [sys.executable, "-c", NODES]), description="the node joins"
    )
    submit = [sys.executable, "manage.py", "submit", "demo", *changes(TINY), "--wait", "--json"]
    last = json.loads(composed.run("web", submit).splitlines()[-1])
    assert last["state"] == "succeeded", composed.logs()
    assert 0 < last["metrics"]["validation_loss"] < 7


NODES = """
import django; django.setup()
from jobs.models import Node
print(*Node.objects.values_list("name", flat=True))
"""
