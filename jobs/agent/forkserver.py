"""Client of the fork server, a process that has imported torch and deepspeed.

It forks supervisors on request, so that a rank starts without these imports.
"""

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
# While the fork server still imports, waiting for it is faster than a cold start, which does the same imports on the
# same cores. After this time a cold start is used.
START_LIMIT_S = 20.0
FIRST_STATE_LIMIT_S = 3.0


def build_supervisor(node_dir: Path, device_kind: str) -> ProcessSupervisor | None:
    """Return the supervisor of the fork server's process; None if no torch is installed for the ranks."""
    if not os.environ.get("TRAINER_PYTHON") and not importlib.util.find_spec("torch"):
        return None
    # The socket of an earlier fork server would make the new one look ready.
    socket_path(node_dir).unlink(missing_ok=True)
    command = [interpreter(), "-m", "engine.rank.run.forkserver", str(socket_path(node_dir))]
    return ProcessSupervisor("forkserver", command, node_dir, {"DS_ACCELERATOR": device_kind})


def socket_path(node_dir: Path) -> Path:
    return node_dir / "fork.sock"


def is_starting(fork_server: ProcessSupervisor, node_dir: Path) -> bool:
    """Whether the fork server is still importing and worth waiting for."""
    age_s = fork_server.age_s
    return age_s is not None and age_s < START_LIMIT_S and not socket_path(node_dir).exists()


def fork_supervisor(node_dir: Path, directory: Path) -> int | None:
    """Return the pid of the forked supervisor; None if no fork server is ready or if it refuses."""
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
            connection.settimeout(ANSWER_LIMIT_S)
            connection.connect(str(socket_path(node_dir)))
            connection.sendall(f"{directory}\n".encode())
            answer = _read_line(connection)
    except (FileNotFoundError, ConnectionRefusedError):
        return None
    except OSError as error:
        log.warning("The fork server did not answer for %s: %s", directory.name, error)
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
        chunk = connection.recv(1024)
        if not chunk:
            break
        received += chunk
    return received.decode(errors="replace").strip()


def _wait_for_pid(directory: Path) -> int | None:
    """Return the pid that a supervisor writes, if one was forked although no answer came.

    Starting a second supervisor beside it would break both.
    """
    deadline = time.monotonic() + FIRST_STATE_LIMIT_S
    while time.monotonic() < deadline:
        state = AttemptDirectory(directory).read_state()
        if state is not None:
            return state.pid
        time.sleep(0.05)
    return None
