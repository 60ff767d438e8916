"""Helper processes of the agent, and requests to the fork server."""

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
    """A clock that the test advances: clock.now += 1."""

    class Clock:
        now = 100.0

    monkeypatch.setattr(subprocesses.time, "monotonic", lambda: Clock.now)
    return Clock


@pytest.fixture
def folder(tmp_path_factory) -> Path:
    """A folder with a path short enough for a unix socket."""
    return tmp_path_factory.mktemp("n")


def make_supervisor(folder: Path, code: str) -> ProcessSupervisor:
    return ProcessSupervisor("child", [sys.executable, "-c", code], folder)


def starts(folder: Path) -> int:
    log = folder / "child.log"
    return log.read_text().count("started") if log.exists() else 0


def test_a_process_that_exits_is_restarted_with_a_growing_pause(folder, clock):
    supervisor = make_supervisor(folder, "print('started')")

    def wait_for_exit() -> None:
        wait_until(lambda: supervisor._process is None or supervisor._process.poll() is not None)
        supervisor.tick()

    supervisor.tick()
    wait_for_exit()
    supervisor.tick()
    assert starts(folder) == 1, "not at once"
    clock.now += 0.6
    supervisor.tick()
    wait_for_exit()
    clock.now += 0.6
    supervisor.tick()
    assert starts(folder) == 2, "the second pause is longer"
    clock.now += 0.6
    supervisor.tick()
    wait_for_exit()
    assert starts(folder) == 3


def test_a_process_sees_fourwalls_settings_but_no_credentials(folder, monkeypatch):
    monkeypatch.setenv("DATABASE_URL", "postgresql://u:secret@h/d")
    monkeypatch.setenv("SECRET_KEY", "secret")
    monkeypatch.setenv("FOURWALLS_CPU_DEVICES", "4")
    supervisor = make_supervisor(folder, "import os; print(dict(os.environ), 'started')")
    supervisor.tick()
    wait_until(lambda: starts(folder))
    output = (folder / "child.log").read_text()
    assert "secret" not in output and "'FOURWALLS_CPU_DEVICES': '4'" in output
    supervisor.stop()


def test_stop_ends_the_process(folder):
    supervisor = make_supervisor(folder, "import time; print('started', flush=True); time.sleep(600)")
    supervisor.tick()
    wait_until(lambda: starts(folder))
    process = supervisor._process
    supervisor.stop()
    assert process.poll() is not None
    assert supervisor.age_s is None


def test_a_process_that_outlived_its_agent_is_terminated_through_its_lock(folder):
    hold = "import fcntl, time; f = open('lock', 'w'); fcntl.flock(f, fcntl.LOCK_EX)"
    code = f"{hold}; print(flush=True); time.sleep(600)"
    orphan = subprocess.Popen([sys.executable, "-c", code], cwd=folder, stdout=subprocess.PIPE)
    orphan.stdout.readline()
    assert terminate_orphan(folder / "lock") == [orphan.pid]
    assert orphan.wait(timeout=10) == -signal.SIGTERM
    assert terminate_orphan(folder / "lock") == terminate_orphan(folder / "none") == []


def test_a_program_that_cannot_be_started_is_tried_again_later(folder):
    supervisor = ProcessSupervisor("child", ["/nowhere/python"], folder)
    supervisor.tick()
    assert supervisor.age_s is None


class FakeForkServer:
    """Answers one request."""

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
    server = FakeForkServer(folder, answer)
    pid = forkserver.fork_supervisor(folder, folder / "attempts" / "j-1")
    server.close()
    return pid, server.request


def test_the_fork_server_gets_the_directory_and_returns_the_pid(folder):
    assert ask(folder, b"ok 4711\n") == (4711, f"{folder}/attempts/j-1\n".encode())


def test_a_refusal_means_a_cold_start(folder):
    assert ask(folder, b"error this parent forks cuda ranks\n")[0] is None


def test_without_a_fork_server_the_start_is_cold(folder):
    assert forkserver.fork_supervisor(folder, folder) is None


def test_the_socket_of_a_killed_fork_server_means_a_cold_start(folder):
    left = socket.socket(socket.AF_UNIX)
    left.bind(str(forkserver.socket_path(folder)))
    left.close()
    assert forkserver.fork_supervisor(folder, folder) is None


def test_a_fork_server_that_dies_after_forking_causes_no_second_supervisor(folder):
    directory = AttemptDirectory(folder / "attempts" / "j-1")
    directory.path.mkdir(parents=True)
    write_state(directory, "starting")
    assert ask(folder, b"")[0] == directory.read_state().pid


def test_a_starting_fork_server_is_waited_for_within_a_limit(folder, clock):
    fork_server = make_supervisor(folder, "import time; time.sleep(600)")
    assert not forkserver.is_starting(fork_server, folder)
    fork_server.tick()
    assert forkserver.is_starting(fork_server, folder)
    clock.now += forkserver.START_LIMIT_S
    assert not forkserver.is_starting(fork_server, folder)
    clock.now -= 1
    forkserver.socket_path(folder).touch()
    assert not forkserver.is_starting(fork_server, folder)
    fork_server.stop()
