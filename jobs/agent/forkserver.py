"""Asks the fork server, which has imported torch and deepspeed already, to fork a supervisor."""

from __future__ import annotations

import importlib.util
import logging
import os
import socket
import time
from pathlib import Path

from engine.directory import AttemptDirectory
from engine.supervisor.environment import interpreter
from jobs.agent.subprocesses import ProcessSupervisor

log = logging.getLogger(__name__)

ANSWER_LIMIT_S = 5.0
# A cold start beside a parent that is still importing does the same imports a second time on the same cores:
# waiting for the parent is sooner. One that takes longer than this is not waited for.
START_LIMIT_S = 20.0
FIRST_STATE_LIMIT_S = 3.0


def build_supervisor(node_dir: Path, device_kind: str) -> ProcessSupervisor | None:
    """Keeps the fork server alive; None where no torch is installed for the ranks."""
    if not os.environ.get("TRAINER_PYTHON") and not importlib.util.find_spec("torch"):
        return None
    socket_path(node_dir).unlink(
        missing_ok=True
    )  # of an earlier parent: it would look ready and answer nobody
    command = [interpreter(), "-m", "engine.rank.run.forkserver", str(socket_path(node_dir))]
    return ProcessSupervisor("forkserver", command, node_dir, {"DS_ACCELERATOR": device_kind})


def socket_path(node_dir: Path) -> Path:
    return node_dir / "fork.sock"


def is_starting(parent: ProcessSupervisor, node_dir: Path) -> bool:
    age_s = parent.age_s
    return age_s is not None and age_s < START_LIMIT_S and not socket_path(node_dir).exists()


def fork_supervisor(node_dir: Path, directory: Path) -> int | None:
    """The pid of the forked supervisor; None while no fork server is ready, or when it refuses."""
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
            connection.settimeout(ANSWER_LIMIT_S)
            connection.connect(str(socket_path(node_dir)))
            connection.sendall(f"{directory}\n".encode())
            answer = _read_line(connection)
    except (FileNotFoundError, ConnectionRefusedError):
        return None
    except OSError as error:
        log.warning("The fork server gave no answer for %s: %s", directory.name, error)
        answer = ""
    word, _, rest = answer.partition(" ")
    if word == "ok":
        return int(rest)
    if word == "error":
        log.warning("The fork server refused %s: %s", directory.name, rest)
        return None
    return _wait_for_pid(directory)


def _read_line(connection: socket.socket) -> str:
    received = b""
    while not received.endswith(b"\n"):
        piece = connection.recv(1024)
        if not piece:
            break
        received += piece
    return received.decode(errors="replace").strip()


def _wait_for_pid(directory: Path) -> int | None:
    """It may have forked before it fell silent: a second supervisor on top of that one would spoil both."""
    deadline = time.monotonic() + FIRST_STATE_LIMIT_S
    while time.monotonic() < deadline:
        state = AttemptDirectory(directory).read_state()
        if state is not None:
            return state.pid
        time.sleep(0.05)
    return None
