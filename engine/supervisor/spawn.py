"""How a rank's process begins: forked, tied to its supervisor's life, its output in its log."""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import traceback
from collections.abc import Callable
from pathlib import Path

from engine.directory import AttemptDirectory, Seat
from engine.supervisor.environment import interpreter

Spawn = Callable[[Seat, dict[str, str]], int]

PR_SET_PDEATHSIG = 1
PR_SET_CHILD_SUBREAPER = 36
EXIT_NOT_STARTED = 127
HANDLED = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGCHLD)

_libc = ctypes.CDLL(None, use_errno=True)


def exec_spawn(directory: AttemptDirectory) -> Spawn:
    """The cold way: every rank is a fresh interpreter running `python -m engine.rank DIR RANK`."""

    def spawn(seat: Seat, environment: dict[str, str]) -> int:
        python = interpreter()
        command = [python, "-m", "engine.rank", str(directory.path), str(seat.rank)]
        return start_child(rank_log(directory, seat.rank), lambda: os.execvpe(python, command, environment))

    return spawn


def rank_log(directory: AttemptDirectory, rank: int) -> Path:
    return directory.log / f"rank{rank}.log"


def start_child(log: Path, body: Callable[[], object]) -> int:
    """Fork a child that runs `body` as a rank's process and return its pid; a body that returns or raises fails."""
    parent = os.getpid()
    descriptor = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    # A signal that comes before the child has dropped the supervisor's handlers must not be lost in them.
    unblocked = signal.pthread_sigmask(signal.SIG_BLOCK, HANDLED)
    pid = os.fork()
    if pid == 0:
        try:
            _settle(parent, descriptor)
            signal.pthread_sigmask(signal.SIG_SETMASK, unblocked)
            body()
        except BaseException:  # noqa: BLE001 - nothing may escape into the supervisor's code in this copy of it
            traceback.print_exc()
        finally:
            os._exit(EXIT_NOT_STARTED)
    signal.pthread_sigmask(signal.SIG_SETMASK, unblocked)
    os.close(descriptor)
    with contextlib.suppress(OSError):  # the child has done it, or is gone
        os.setpgid(pid, pid)
    return pid


def become_subreaper() -> None:
    """Orphans below this process become its children, so that none escapes the sweep."""
    _libc.prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def _settle(parent: int, log: int) -> None:
    """Die with the supervisor, lead an own process group, forget its signal handlers, no input, output to the log."""
    _libc.prctl(PR_SET_PDEATHSIG, int(signal.SIGKILL), 0, 0, 0)
    if os.getppid() != parent:  # it died before prctl was in force
        os._exit(EXIT_NOT_STARTED)
    os.setpgid(0, 0)
    for number in HANDLED:
        signal.signal(number, signal.SIG_DFL)
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.dup2(log, 1)
    os.dup2(log, 2)
