"""Subprocesses of one embedded Fourwalls.

They start together, are restarted when they exit, and stop together.
"""

from __future__ import annotations

import contextlib
import ctypes
import logging
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

log = logging.getLogger(__name__)

ROTATE_EVERY_S = 10.0
LOG_BYTES = 10 * 1024**2  # of a log before it is rotated
LOGS_KEPT = 3  # older logs of a process
PR_SET_PDEATHSIG = 1
_libc = ctypes.CDLL(None, use_errno=True)


@dataclass
class Subprocess:
    """One subprocess. `stop_s`: time to exit after SIGTERM before it is killed."""

    name: str
    command: list[str]
    stop_s: float = 10.0
    popen: subprocess.Popen[bytes] | None = None
    restarts: int = 0
    started_at: float = 0.0
    restart_at: float = 0.0


@dataclass
class SubprocessGroup:
    """Subprocesses in the order of their start; they stop in reverse order."""

    log_dir: Path
    environment: Mapping[str, str]
    processes: list[Subprocess] = field(default_factory=list)
    rotate_at: float = 0.0

    def start(self, process: Subprocess) -> None:
        self.processes.append(process)
        self._spawn(process)

    def watch(self) -> None:
        """Restart subprocesses that exited, after a growing pause. Call it a few times a second."""
        now = time.monotonic()
        if now >= self.rotate_at:
            self.rotate_at = now + ROTATE_EVERY_S
            for process in self.processes:
                rotate(self.log_dir / f"{process.name}.log")
        for process in self.processes:
            if process.popen is None:
                if now >= process.restart_at:
                    self._spawn(process)
            elif process.popen.poll() is not None:
                pause = (
                    min(10.0, 0.5 * 2 ** min(process.restarts, 5)) if now - process.started_at < 30 else 0.1
                )
                process.restarts = process.restarts + 1 if now - process.started_at < 30 else 0
                log.warning(
                    "%s ended with %s; it starts again in %.1f s (log: %s)",
                    process.name, process.popen.returncode, pause, self.log_dir / f"{process.name}.log",
                )  # fmt: skip
                process.popen, process.restart_at = None, now + pause

    def stop(self, is_impatient: Callable[[], bool]) -> None:
        """Send SIGTERM to each, then SIGKILL after its time limit, or at once if `is_impatient` returns true."""
        for process in reversed(self.processes):
            popen = process.popen
            if popen is None or popen.poll() is not None:
                continue
            popen.terminate()
            deadline = time.monotonic() + process.stop_s
            while popen.poll() is None and time.monotonic() < deadline and not is_impatient():
                time.sleep(0.02)
            if popen.poll() is None:
                log.warning("%s did not stop by itself and was killed", process.name)
                popen.kill()
            popen.wait()

    def _spawn(self, process: Subprocess) -> None:
        self.log_dir.mkdir(parents=True, exist_ok=True)
        parent = os.getpid()
        with open(self.log_dir / f"{process.name}.log", "ab") as output:
            # A new session: Ctrl-C in the terminal reaches only this parent, which stops the subprocesses in order.
            process.popen = subprocess.Popen(
                process.command, stdin=subprocess.DEVNULL, stdout=output, stderr=output,
                env=dict(self.environment), start_new_session=True, preexec_fn=lambda: _stop_with_parent(parent),
            )  # fmt: skip
        process.started_at = time.monotonic()


def rotate(log_file: Path) -> None:
    """Copy a long log away and empty it. The process keeps its descriptor, which appends: so the broker's log and what
    an interpreter writes as it crashes are covered too. A full disk loses the copy, not the space."""
    try:
        if log_file.stat().st_size <= LOG_BYTES:
            return
        for number in range(LOGS_KEPT - 1, 0, -1):
            older = log_file.with_name(f"{log_file.name}.{number}")
            if older.exists():
                older.rename(log_file.with_name(f"{log_file.name}.{number + 1}"))
        with contextlib.suppress(OSError):
            shutil.copyfile(log_file, log_file.with_name(f"{log_file.name}.1"))
        os.truncate(log_file, 0)
    except FileNotFoundError:
        return
    except OSError as error:
        log.warning("The log %s cannot be shortened: %s", log_file, error.strerror)


def _stop_with_parent(parent: int) -> None:
    """In the subprocess: request SIGTERM for the death of the parent, even by kill -9."""
    _libc.prctl(PR_SET_PDEATHSIG, signal.SIGTERM)
    if os.getppid() != parent:
        os._exit(1)
