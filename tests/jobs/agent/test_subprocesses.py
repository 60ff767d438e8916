"""Helper processes of the agent: kept alive, given no credentials, stopped; and how the fork server is asked."""

from __future__ import annotations

import signal
import socket
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from engine.directory import AttemptDirectory
from jobs.agent import forkserver, subprocesses
from jobs.agent.subprocesses import ProcessSupervisor, terminate_orphan
from tests.jobs.fake_supervisor import write_state
from tests.running import wait_until


@pytest.fixture
def clock(monkeypatch):
    """A clock that the test moves: clock.now += 1."""

    class Clock:
        now = 100.0

    monkeypatch.setattr(subprocesses.time, "monotonic", lambda: Clock.now)
    return Clock


@pytest.fixture
def folder(tmp_path_factory) -> Path:
    """Short enough for a unix socket's path."""
    return tmp_path_factory.mktemp("n")


def keeper(folder: Path, code: str) -> ProcessSupervisor:
    return ProcessSupervisor("child", [sys.executable, "-c", code], folder)


def starts(folder: Path) -> int:
    log = folder / "child.log"
    return log.read_text().count("started") if log.exists() else 0


def test_a_child_that_dies_is_started_again_with_a_growing_pause(folder, clock):
    child = keeper(folder, "print('started')")

    def wait_for_death() -> None:
        wait_until(lambda: child._process is None or child._process.poll() is not None)
        child.tick()

    child.tick()
    wait_for_death()
    child.tick()
    assert starts(folder) == 1, "not at once"
    clock.now += 0.6
    child.tick()
    wait_for_death()
    clock.now += 0.6
    child.tick()
    assert starts(folder) == 2, "the second pause is longer"
    clock.now += 0.6
    child.tick()
    wait_for_death()
    assert starts(folder) == 3


def test_a_child_sees_no_credentials_but_settings_of_fourwalls(folder, monkeypatch):
    monkeypatch.setenv("DATABASE_URL", "postgresql://u:secret@h/d")
    monkeypatch.setenv("SECRET_KEY", "secret")
    monkeypatch.setenv("FOURWALLS_CPU_DEVICES", "4")
    child = keeper(folder, "import os; print(dict(os.environ), 'started')")
    child.tick()
    wait_until(lambda: starts(folder))
    said = (folder / "child.log").read_text()
    assert "secret" not in said and "'FOURWALLS_CPU_DEVICES': '4'" in said
    child.stop()


def test_stopping_ends_the_child(folder):
    child = keeper(folder, "import time; print('started', flush=True); time.sleep(600)")
    child.tick()
    wait_until(lambda: starts(folder))
    process = child._process
    child.stop()
    assert process.poll() is not None
    assert child.age_s is None


def test_a_child_that_outlived_its_agent_is_ended_through_the_lock_it_holds(folder):
    hold = "import fcntl, time; f = open('lock', 'w'); fcntl.flock(f, fcntl.LOCK_EX)"
    code = f"{hold}; print(flush=True); time.sleep(600)"
    orphan = subprocess.Popen([sys.executable, "-c", code], cwd=folder, stdout=subprocess.PIPE)
    orphan.stdout.readline()
    assert terminate_orphan(folder / "lock") == [orphan.pid]
    assert orphan.wait(timeout=10) == -signal.SIGTERM
    assert terminate_orphan(folder / "lock") == terminate_orphan(folder / "none") == []


def test_a_program_that_cannot_be_started_is_tried_again_later(folder):
    child = ProcessSupervisor("child", ["/nowhere/python"], folder)
    child.tick()
    assert child.age_s is None


class Parent:
    """Plays the fork server: gives one answer to one request."""

    def __init__(self, folder: Path, answer: bytes) -> None:
        self.request = b""
        self._answer = answer
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(str(forkserver.socket_path(folder)))
        self._listener.listen()
        self._thread = threading.Thread(target=self._serve)
        self._thread.start()

    def _serve(self) -> None:
        connection, _ = self._listener.accept()
        with connection:
            self.request = connection.recv(1024)
            connection.sendall(self._answer)

    def close(self) -> None:
        self._thread.join()
        self._listener.close()


def ask(folder: Path, answer: bytes) -> tuple[int | None, bytes]:
    parent = Parent(folder, answer)
    pid = forkserver.fork_supervisor(folder, folder / "attempts" / "j-1")
    parent.close()
    return pid, parent.request


def test_the_parent_is_given_the_directory_and_tells_the_pid(folder):
    assert ask(folder, b"ok 4711\n") == (4711, f"{folder}/attempts/j-1\n".encode())


def test_a_refusal_means_a_cold_start(folder):
    assert ask(folder, b"error this parent forks cuda ranks\n")[0] is None


def test_without_a_parent_the_start_is_cold(folder):
    assert forkserver.fork_supervisor(folder, folder) is None


def test_a_socket_that_a_killed_parent_left_means_a_cold_start(folder):
    left = socket.socket(socket.AF_UNIX)
    left.bind(str(forkserver.socket_path(folder)))
    left.close()
    assert forkserver.fork_supervisor(folder, folder) is None


def test_a_parent_that_dies_after_forking_is_not_followed_by_a_second_supervisor(folder):
    directory = AttemptDirectory(folder / "attempts" / "j-1")
    directory.path.mkdir(parents=True)
    write_state(directory, "starting")
    assert ask(folder, b"")[0] == directory.read_state().pid


def test_a_parent_that_is_still_importing_is_waited_for_but_not_for_ever(folder, clock):
    parent = keeper(folder, "import time; time.sleep(600)")
    assert not forkserver.is_starting(parent, folder)
    parent.tick()
    assert forkserver.is_starting(parent, folder)
    clock.now += forkserver.START_LIMIT_S
    assert not forkserver.is_starting(parent, folder)
    clock.now -= 1
    forkserver.socket_path(folder).touch()
    assert not forkserver.is_starting(parent, folder)
    parent.stop()
