"""Fork server: start of supervisors, bad requests, end with its parent."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from engine.directory import AttemptDirectory
from tests.engine.rank.attempts import ROOT, tiny, until, write_attempt

pytestmark = pytest.mark.ranks


class RunningForkServer:
    """A fork server process with its socket."""

    def __init__(self, folder: Path) -> None:
        self.socket = folder / "run" / "forkserver.sock"
        self.process = subprocess.Popen(
            [sys.executable, "-m", "engine.rank.run.forkserver", str(self.socket)], cwd=ROOT
        )
        until(self.socket.exists, "the fork server")

    def ask(self, request: bytes) -> str:
        with socket.socket(socket.AF_UNIX) as connection:
            connection.settimeout(10)
            connection.connect(str(self.socket))
            connection.sendall(request)
            with connection.makefile() as answers:
                return answers.read()


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningForkServer]:
    server = RunningForkServer(tmp_path_factory.mktemp("server"))
    yield server
    server.process.kill()
    server.process.wait()


@pytest.fixture
def attempt(tmp_path: Path, rank_data_dir: Path) -> AttemptDirectory:
    spec = tiny(parallel={"data": 2, "zero_stage": 1}, budget={"steps": 5})
    return write_attempt(tmp_path / "attempt", spec, rank_data_dir)


def test_only_this_user_can_access_the_socket(server: RunningForkServer) -> None:
    assert server.socket.stat().st_mode & 0o777 == 0o600
    assert server.socket.parent.stat().st_mode & 0o777 == 0o700


def test_a_request_trains_an_attempt_to_its_end(server: RunningForkServer, attempt: AttemptDirectory) -> None:
    word, pid = server.ask(f"{attempt.path}\n".encode()).split()
    assert word == "ok"
    until(lambda: (state := attempt.read_state()) and state.is_terminal, "the end of the attempt")
    state = attempt.read_state()
    assert state and (state.state, state.pid) == ("succeeded", int(pid)), (state, attempt.log)
    assert (attempt.spool / "rank1.jsonl").stat().st_size > 0
    assert attempt.newest_checkpoint()


@pytest.mark.parametrize(
    ("request_line", "sentence"),
    [
        (b"/nowhere\n", "error '/nowhere' is not an attempt directory"),
        (b"relative/path\n", "is not an attempt directory"),
        (b"\n", "is not an attempt directory"),
        (b"\xff\xfe\n", "error 'utf-8' codec can't decode"),
        (b"x" * 5000 + b"\n", "error a request is one line of at most 4096 bytes"),
    ],
)
def test_bad_requests_are_answered_with_an_error(
    request_line: bytes, sentence: str, server: RunningForkServer
) -> None:
    assert sentence in server.ask(request_line)
    assert server.process.poll() is None


def test_an_unreadable_placement_is_answered_with_an_error(server: RunningForkServer, tmp_path: Path) -> None:
    (tmp_path / "placement.json").write_text('{"job": 3}')
    assert server.ask(f"{tmp_path}\n".encode()).startswith("error ")
    assert server.process.poll() is None


def test_a_client_that_disconnects_without_a_request_does_no_harm(server: RunningForkServer) -> None:
    with socket.socket(socket.AF_UNIX) as connection:
        connection.connect(str(server.socket))
    assert server.ask(b"/nowhere\n").startswith("error")


def test_ranks_for_other_devices_are_refused(server: RunningForkServer, tmp_path: Path) -> None:
    directory = write_attempt(tmp_path / "gpu", tiny(), tmp_path, kind="cuda")
    assert "forks cpu ranks, not cuda" in server.ask(f"{directory.path}\n".encode())


def test_the_fork_server_leaves_no_zombies(server: RunningForkServer) -> None:
    children = Path(f"/proc/{server.process.pid}/task/{server.process.pid}/children").read_text().split()
    assert children == []


def test_the_fork_server_ends_with_its_parent_and_its_supervisors_continue(
    tmp_path: Path, rank_data_dir: Path
) -> None:
    spec = tiny(budget={"steps": 1_000_000})
    attempt = write_attempt(tmp_path / "attempt", spec, rank_data_dir)
    path = tmp_path / "forkserver.sock"
    script = f"{sys.executable} -m engine.rank.run.forkserver {path} & echo $!; wait"
    parent = subprocess.Popen(["/bin/sh", "-c", script], cwd=ROOT, stdout=subprocess.PIPE)
    assert parent.stdout
    server_pid = int(parent.stdout.readline())
    until(path.exists, "the fork server")
    with socket.socket(socket.AF_UNIX) as connection:
        connection.connect(str(path))
        connection.sendall(f"{attempt.path}\n".encode())
        answer = connection.recv(100)
    assert answer.startswith(b"ok"), answer
    supervisor = int(answer.split()[1])
    until(lambda: (state := attempt.read_state()) and state.state == "running", "the running attempt")

    parent.kill()
    parent.wait()
    until(lambda: not Path(f"/proc/{server_pid}").exists(), "the end of the fork server")
    assert not path.exists()
    os.kill(supervisor, signal.SIGTERM)
    until(lambda: (state := attempt.read_state()) and state.is_terminal, "the end of the attempt")
    state = attempt.read_state()
    assert state and state.state == "stopped", state
