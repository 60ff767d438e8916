"""Device locks: two attempts never share a device."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from engine.supervisor import locks
from fourwalls.system import procfs
from tests.engine.supervised import STEP_UNTIL_STOPPED, Supervised, until

pytestmark = pytest.mark.slow


@pytest.fixture
def first(tmp_path: Path) -> Iterator[Supervised]:
    run = Supervised(tmp_path, STEP_UNTIL_STOPPED, name="first")
    yield run
    run.kill()


def test_a_second_attempt_on_a_locked_device_fails_with_the_holders_pids(
    tmp_path: Path, first: Supervised
) -> None:
    first.start().ready()
    second = Supervised(tmp_path, 'touch "$DIR/ready$RANK"', ranks=1, name="second", devices=("cpu-test-1",))
    state = second.start().end()
    assert (state.state, state.cause) == ("failed", "device_held") and not second.path("ready0").exists()
    assert state.reason.startswith("device cpu-test-1 is still held by an earlier attempt (pid ")
    named = {int(pid) for pid in state.reason.rpartition("pid ")[2].rstrip(")").split(", ")}
    assert {first.state.pid, *first.pids} <= named
    assert second.process.pid not in named
    assert first.state.state == "running" and not first.are_gone()


def test_attempts_on_different_devices_run_at_the_same_time(tmp_path: Path, first: Supervised) -> None:
    first.start().ready()
    other = Supervised(tmp_path, "exit 0", ranks=1, name="other", devices=("cpu-test-2",))
    assert other.start().end().state == "succeeded"


def test_a_device_is_free_once_the_state_is_terminal(tmp_path: Path, first: Supervised) -> None:
    first.start().ready()
    first.directory.write_control("stop")
    until(lambda: first.state.is_terminal, "an end")
    locks.release(locks.lock_devices(tmp_path / "locks", ("cpu-test-0", "cpu-test-1"), wait_s=0))


def test_an_attempt_waits_for_a_device_that_is_about_to_be_free(tmp_path: Path, first: Supervised) -> None:
    first.start().ready()
    second = Supervised(tmp_path, "exit 0", name="second").start()
    until(lambda: second.path("state.json").exists(), "its first state")
    first.directory.write_control("stop")
    assert second.end().state == "succeeded"


def test_a_stray_process_holds_the_device_after_its_supervisor_was_killed(
    tmp_path: Path,
) -> None:
    script = 'setsid sleep 600 & echo $! > "$DIR/loader"; ' + STEP_UNTIL_STOPPED
    run = Supervised(tmp_path, script, ranks=1).start().ready()
    loader = int(run.path("loader").read_text())
    run.process.kill()
    until(run.are_gone, "the end of the rank")
    with pytest.raises(locks.DeviceHeld, match=rf"pid {loader}\b"):
        locks.lock_devices(tmp_path / "locks", ("cpu-test-0",), wait_s=0)
    os.kill(loader, signal.SIGKILL)
    until(lambda: procfs.stat(loader) is None)
    locks.release(locks.lock_devices(tmp_path / "locks", ("cpu-test-0",), wait_s=5))


def test_a_refused_lock_locks_none_of_the_other_devices(tmp_path: Path) -> None:
    held = locks.lock_devices(tmp_path, ("b",), wait_s=0)
    with pytest.raises(locks.DeviceHeld, match="device b"):
        locks.lock_devices(tmp_path, ("a", "b"), wait_s=0)
    again = locks.lock_devices(tmp_path, ("a",), wait_s=0)
    locks.release(held + again)
