"""The sampler as a process: one per node, and its end."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from engine.telemetry import inventory, sampler
from tests.engine.supervised import ROOT, until
from tests.engine.telemetry.sampled import attempt, devices_json, lines, report


def start(node_dir: Path, *options: str) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "engine.telemetry.sampler", str(node_dir), "--period", "0.2", *options]
    return subprocess.Popen(command, cwd=ROOT, stderr=subprocess.PIPE)


@pytest.fixture
def started(tmp_path: Path) -> Iterator[subprocess.Popen[bytes]]:
    process = start(tmp_path)
    until((tmp_path / "devices.json").exists, "a first tick")
    yield process
    process.kill()
    process.communicate()


def test_a_second_sampler_exits_at_once_and_the_first_continues(
    tmp_path: Path, started: subprocess.Popen[bytes]
) -> None:
    second = start(tmp_path)
    second.communicate(timeout=30)
    assert second.returncode == 0 and started.poll() is None
    seen = devices_json(tmp_path)["sampler"]["ticks"]
    until(lambda: devices_json(tmp_path)["sampler"]["ticks"] > seen, "another tick of the first")


def test_sigterm_ends_it_cleanly(tmp_path: Path, started: subprocess.Popen[bytes]) -> None:
    started.send_signal(signal.SIGTERM)
    assert started.communicate(timeout=30)[1] == b"" and started.returncode == 0


def test_this_machines_devices_are_read(tmp_path: Path, started: subprocess.Popen[bytes]) -> None:
    found = devices_json(tmp_path)
    devices = found.keys() - {"host", "sampler"}
    assert devices and found["sampler"]["pid"] == started.pid and found["sampler"]["errors"] == 0


def test_it_exits_long_after_agent_and_attempts_have_ended(tmp_path: Path) -> None:
    (tmp_path / "agent.alive").touch()
    long_ago = time.time() - sampler.ABANDONED_S - 60
    os.utime(tmp_path / "agent.alive", (long_ago, long_ago))
    process = start(tmp_path)
    process.communicate(timeout=30)
    assert process.returncode == 0


def test_it_exits_when_the_folder_of_the_node_is_deleted(tmp_path: Path) -> None:
    node_dir = tmp_path / "node"
    process = start(node_dir)
    until((node_dir / "devices.json").exists, "a first tick")
    node_dir.rename(tmp_path / "gone")
    process.communicate(timeout=30)
    assert process.returncode == 0


def test_it_runs_on_for_a_live_attempt_without_an_agent(tmp_path: Path) -> None:
    run = attempt(tmp_path, "one", inventory.devices()[0].id)
    (tmp_path / "agent.alive").touch()
    os.utime(tmp_path / "agent.alive", (1, 1))
    process = start(tmp_path)
    until(lambda: len(lines(run)) >= 2, "two lines")
    assert process.poll() is None
    report(run, "succeeded", os.getpid())
    process.communicate(timeout=30)
    assert process.returncode == 0


def test_a_period_out_of_range_is_refused(tmp_path: Path) -> None:
    process = start(tmp_path, "--period", "0")
    assert b"out of range" in process.communicate(timeout=30)[1] and process.returncode == 2
