"""The fork server: forks supervisors, survives bad requests, and goes without taking them along."""

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


class Warm:
    def __init__(self, folder: Path) -> None:
        self.socket = folder / "run" / "warm.sock"
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
def warm(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Warm]:
    warm = Warm(tmp_path_factory.mktemp("warm"))
    yield warm
    warm.process.kill()
    warm.process.wait()


@pytest.fixture
def attempt(tmp_path: Path, rank_data_dir: Path) -> AttemptDirectory:
    spec = tiny(parallel={"data": 2, "zero_stage": 1}, budget={"steps": 5})
    return write_attempt(tmp_path / "attempt", spec, rank_data_dir)


def test_only_this_user_can_reach_it(warm: Warm) -> None:
    assert warm.socket.stat().st_mode & 0o777 == 0o600
    assert warm.socket.parent.stat().st_mode & 0o777 == 0o700


def test_a_request_trains_an_attempt_in_a_session_of_its_own(warm: Warm, attempt: AttemptDirectory) -> None:
    word, pid = warm.ask(f"{attempt.path}\n".encode()).split()
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
def test_bad_requests_are_answered_and_survived(request_line: bytes, sentence: str, warm: Warm) -> None:
    assert sentence in warm.ask(request_line)
    assert warm.process.poll() is None


def test_a_placement_that_cannot_be_read_is_answered_and_survived(warm: Warm, tmp_path: Path) -> None:
    (tmp_path / "placement.json").write_text('{"job": 3}')
    assert warm.ask(f"{tmp_path}\n".encode()).startswith("error ")
    assert warm.process.poll() is None


def test_an_asker_that_leaves_without_a_word_is_survived(warm: Warm) -> None:
    with socket.socket(socket.AF_UNIX) as connection:
        connection.connect(str(warm.socket))
    assert warm.ask(b"/nowhere\n").startswith("error")


def test_ranks_for_other_devices_are_refused(warm: Warm, tmp_path: Path) -> None:
    directory = write_attempt(tmp_path / "gpu", tiny(), tmp_path, kind="cuda")
    assert "forks cpu ranks, not cuda" in warm.ask(f"{directory.path}\n".encode())


def test_it_leaves_no_zombies(warm: Warm) -> None:
    children = Path(f"/proc/{warm.process.pid}/task/{warm.process.pid}/children").read_text().split()
    assert children == []


def test_when_its_parent_dies_it_goes_and_its_supervisors_stay(tmp_path: Path, rank_data_dir: Path) -> None:
    spec = tiny(budget={"steps": 1_000_000})
    attempt = write_attempt(tmp_path / "attempt", spec, rank_data_dir)
    path = tmp_path / "warm.sock"
    script = f"{sys.executable} -m engine.rank.run.forkserver {path} & echo $!; wait"
    parent = subprocess.Popen(["/bin/sh", "-c", script], cwd=ROOT, stdout=subprocess.PIPE)
    assert parent.stdout
    warm_pid = int(parent.stdout.readline())
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
    until(lambda: not Path(f"/proc/{warm_pid}").exists(), "the end of the fork server")
    assert not path.exists()
    os.kill(supervisor, signal.SIGTERM)
    until(lambda: (state := attempt.read_state()) and state.is_terminal, "the end of the attempt")
    state = attempt.read_state()
    assert state and state.state == "stopped", state
