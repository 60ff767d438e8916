"""Start of a rank process: forked, ended with its supervisor, output to its log."""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import traceback
from collections.abc import Callable
from pathlib import Path

from engine.directory import AttemptDirectory, RankSeat
from engine.supervisor.environment import interpreter

Spawn = Callable[[RankSeat, dict[str, str]], int]

PR_SET_PDEATHSIG = 1
PR_SET_CHILD_SUBREAPER = 36
EXIT_NOT_STARTED = 127
HANDLED = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGCHLD)

_libc = ctypes.CDLL(None, use_errno=True)


def build_exec_spawn(directory: AttemptDirectory) -> Spawn:
    """Return a spawn function that starts a new interpreter: `python -m engine.rank DIR RANK`."""

    def spawn(seat: RankSeat, environment: dict[str, str]) -> int:
        python = interpreter()
        command = [python, "-m", "engine.rank", str(directory.path), str(seat.rank)]
        return start_child(
            rank_log_path(directory, seat.rank), lambda: os.execvpe(python, command, environment)
        )

    return spawn


def rank_log_path(directory: AttemptDirectory, rank: int) -> Path:
    return directory.log / f"rank{rank}.log"


def start_child(log: Path, body: Callable[[], object]) -> int:
    """Fork a child that runs `body` and return its pid; `body` must end the process, else it exits with an error."""
    parent = os.getpid()
    descriptor = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    # A signal that arrives before the child has reset the supervisor's handlers must not be lost.
    unblocked = signal.pthread_sigmask(signal.SIG_BLOCK, HANDLED)
    pid = os.fork()
    if pid == 0:
        try:
            _set_up_child(parent, descriptor)
            signal.pthread_sigmask(signal.SIG_SETMASK, unblocked)
            body()
        except BaseException:  # noqa: BLE001 - no exception may reach the supervisor's code in this fork
            traceback.print_exc()
        finally:
            os._exit(EXIT_NOT_STARTED)
    signal.pthread_sigmask(signal.SIG_SETMASK, unblocked)
    os.close(descriptor)
    with contextlib.suppress(OSError):  # the child has done it or has ended
        os.setpgid(pid, pid)
    return pid


def become_subreaper() -> None:
    """Make orphaned descendants children of this process, so that the cleanup finds them."""
    _libc.prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def _set_up_child(parent: int, log: int) -> None:
    """Set up the child: death signal, process group, default signal handlers, no input, output to the log."""
    _libc.prctl(PR_SET_PDEATHSIG, int(signal.SIGKILL), 0, 0, 0)
    if os.getppid() != parent:  # the parent died before prctl took effect
        os._exit(EXIT_NOT_STARTED)
    os.setpgid(0, 0)
    for number in HANDLED:
        signal.signal(number, signal.SIG_DFL)
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.dup2(log, 1)
    os.dup2(log, 2)
