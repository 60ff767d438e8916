"""Real training while agent, scheduler or broker are killed.

It continues, and no point is lost or duplicated.
"""

from __future__ import annotations

import json
from collections.abc import Iterator

import psutil
import pytest

from tests.running import ROOT, TINY, Fourwalls, changes, free_port, wait_until

pytestmark = [pytest.mark.ranks, pytest.mark.timeout(300)]

STEPS = 300


@pytest.fixture(scope="module")
def fourwalls(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fourwalls]:
    running = Fourwalls(tmp_path_factory.mktemp("kill"), free_port()).start("--no-demo")
    try:
        running.wait_for_link()
        running.request("/jobs")  # creates the token before a job trains
        yield running
    finally:
        running.interrupt()
        running.kill()


def processes(running: Fourwalls, kind: str) -> list[psutil.Process]:
    """Agent and scheduler are found by the home in their environment, the broker by the socket in its command line."""
    if kind == "broker":
        return [p for p in psutil.process_iter(["name", "cmdline"])
                if p.info["name"] == "valkey-server" and str(running.home) in " ".join(p.info["cmdline"])]  # fmt: skip
    return [p for p in running.live_processes() if p.cmdline()[1:3] == [str(ROOT / "manage.py"), kind]]


@pytest.mark.parametrize("victim", ["agent", "scheduler", "broker"])
def test_training_goes_on(fourwalls: Fourwalls, victim: str):
    spec = [*TINY, f"budget.steps={STEPS}", "budget.checkpoint_every=0", "budget.validate_every=0"]
    submitted = json.loads(
        fourwalls.manage("submit", "demo", *changes(spec), "--json").stdout.splitlines()[0]
    )
    job = submitted["job"]
    wait_until(lambda: fourwalls.request(f"/jobs/{job}")["step"] > 20, description="20 steps")
    (found,) = processes(fourwalls, victim)
    found.kill()
    ended = wait_until(
        lambda: (now := fourwalls.request(f"/jobs/{job}"))["state"] in ("succeeded", "failed") and now,
        limit_s=120,
        description="the end",
    )
    assert (ended["state"], ended["attempt"], ended["step"]) == ("succeeded", 1, STEPS), ended["reason"]
    assert points(fourwalls, submitted["run"]) == STEPS


def points(running: Fourwalls, run: str) -> int:
    """Return the number of stored points of the loss."""
    code = (
        f"from jobs import series; print([n.count for n in series.names({run!r}) if n.metric == 'loss'][0])"
    )
    return int(running.manage("shell", "-v0", "-c", code).stdout.split()[-1])
