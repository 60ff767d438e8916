"""`manage.py up`: starts and stops everything, and refuses with one sentence."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from engine.directory import AttemptDirectory
from tests.running import ROOT, TINY, Fourwalls, changes, free_port, wait_until

pytestmark = pytest.mark.ranks


@pytest.fixture(scope="module")
def fourwalls(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fourwalls]:
    running = Fourwalls(tmp_path_factory.mktemp("up"), free_port()).start("--no-demo")
    try:
        running.wait_for_link()
        yield running
    finally:
        running.kill()


def jobs_of(running: Fourwalls) -> dict[str, dict]:
    """The output of `manage.py runs --json`, by job id."""
    lines = running.manage("runs", "--json").stdout.splitlines()
    return {row["job"]: row for row in map(json.loads, lines)}


def test_a_visitor_sees_the_login_page(fourwalls: Fourwalls):
    with urllib.request.urlopen(f"{fourwalls.url}/jobs/") as page:
        assert page.url.startswith(f"{fourwalls.url}/login/")


def test_a_job_from_the_command_line_trains_and_prints_its_metrics(fourwalls: Fourwalls):
    done = fourwalls.manage("submit", "demo", *changes(TINY), "--wait", "--json")
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    assert lines[0]["state"] == "queued" and lines[0]["url"].startswith(fourwalls.url)
    last = lines[-1]
    assert last["state"] == "succeeded"
    assert 0 < last["metrics"]["validation_loss"] < 7
    assert last["metrics"]["loss"] < 5.6  # random bytes cost ln 256 = 5.545 nats


def test_a_refused_spec_names_the_field_and_starts_no_job(fourwalls: Fourwalls):
    before = len(jobs_of(fourwalls))
    done = fourwalls.manage("submit", "demo", "--set", "model.heads=3", check=False)
    assert done.returncode == 2
    assert "model.heads" in done.stderr and "divide the width" in done.stderr
    assert len(jobs_of(fourwalls)) == before


def test_a_second_up_for_the_same_home_exits_with_a_message(fourwalls: Fourwalls):
    second = Fourwalls(fourwalls.home, free_port()).start()
    assert second.process
    output, _ = second.process.communicate(timeout=30)
    assert second.process.returncode == 1
    assert f"already runs from this folder: {fourwalls.url}" in output


def test_a_killed_rank_ends_the_attempt_with_the_reason_and_a_retry_resumes(fourwalls: Fourwalls):
    spec = [*TINY, "budget.steps=100000", "budget.checkpoint_every=20"]
    submitted = json.loads(
        fourwalls.manage("submit", "demo", *changes(spec), "--json").stdout.splitlines()[0]
    )
    job = submitted["job"]
    wait_until(lambda: jobs_of(fourwalls)[job]["step"] > 45, description="45 steps")
    state = AttemptDirectory(fourwalls.home / "node" / "attempts" / f"{job}-1").read_state()
    assert state
    os.kill(next(rank.pid for rank in state.ranks if rank.rank == 1), signal.SIGKILL)
    ended = wait_until(
        lambda: (row := jobs_of(fourwalls)[job])["state"] == "failed" and row, description="failed"
    )
    assert "rank 1" in ended["reason"] and "SIGKILL" in ended["reason"]
    fourwalls.manage("retry", job)
    resumed = wait_until(
        lambda: (row := jobs_of(fourwalls)[job])["state"] == "running" and row, description="running again"
    )
    assert resumed["attempt"] == 2
    assert resumed["resumed_from_step"] >= 40
    fourwalls.manage("cancel", job)
    wait_until(lambda: jobs_of(fourwalls)[job]["state"] == "cancelled", description="cancelled")


def test_nothing_is_left_in_shared_memory(fourwalls: Fourwalls):
    assert not [p.name for p in Path("/dev/shm").iterdir() if p.name.startswith("deepspeed")]


def test_ctrl_c_stops_everything_and_the_next_start_resumes_from_the_checkpoint(fourwalls: Fourwalls):
    spec = [*TINY, "budget.steps=100000", "budget.checkpoint_every=20"]
    job = json.loads(fourwalls.manage("submit", "demo", *changes(spec), "--json").stdout.splitlines()[0])[
        "job"
    ]
    wait_until(lambda: jobs_of(fourwalls)[job]["step"] > 5, description="the first steps")
    assert fourwalls.interrupt() == 0
    wait_until(lambda: not fourwalls.live_processes(), limit_s=10, description="no process of this home left")
    stopped = jobs_of(fourwalls)[job]
    assert stopped["state"] == "queued" and stopped["step"] > 5
    fourwalls.start("--no-demo")
    fourwalls.wait_for_link()
    again = wait_until(
        lambda: (row := jobs_of(fourwalls)[job])["state"] == "running" and row, description="running again"
    )
    assert again["resumed_from_step"] >= stopped["step"] - 1
    fourwalls.manage("cancel", job)
    assert fourwalls.interrupt() == 0
    assert not fourwalls.live_processes()


def refusal(home: str, port: int) -> str:
    done = subprocess.run(
        [sys.executable, "manage.py", "up", "--port", str(port)],
        cwd=ROOT, env=os.environ | {"FOURWALLS_HOME": home}, capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    return done.stderr.strip()


def test_a_busy_port_is_reported_in_one_sentence(tmp_path: Path):
    with socket.socket() as busy:
        busy.bind(("127.0.0.1", 0))
        busy.listen()
        sentence = refusal(str(tmp_path), busy.getsockname()[1])
    assert "Port" in sentence and "make run PORT=" in sentence and len(sentence.splitlines()) == 1


def test_an_unwritable_home_is_reported_in_one_sentence():
    sentence = refusal("/proc/fourwalls", free_port())
    assert "/proc/fourwalls" in sentence and len(sentence.splitlines()) == 1
