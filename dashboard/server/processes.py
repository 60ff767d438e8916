"""The processes of one embedded Fourwalls: started together, restarted when one dies, stopped together."""

from __future__ import annotations

import ctypes
import logging
import os
import signal
import subprocess
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

log = logging.getLogger(__name__)

PR_SET_PDEATHSIG = 1
_libc = ctypes.CDLL(None, use_errno=True)


@dataclass
class Process:
    """One child. `stop_s` is how long it may take to end after SIGTERM before it is killed."""

    name: str
    command: list[str]
    stop_s: float = 10.0
    child: subprocess.Popen[bytes] | None = None
    restarts: int = 0
    started_at: float = 0.0
    restart_at: float = 0.0


@dataclass
class Group:
    """Children in the order they start; they stop in the reverse order."""

    log_dir: Path
    environment: Mapping[str, str]
    processes: list[Process] = field(default_factory=list)

    def start(self, process: Process) -> None:
        self.processes.append(process)
        self._spawn(process)

    def watch(self) -> None:
        """Restart what died, with a growing pause. Call it a few times a second."""
        now = time.monotonic()
        for process in self.processes:
            if process.child is None:
                if now >= process.restart_at:
                    self._spawn(process)
            elif process.child.poll() is not None:
                pause = (
                    min(10.0, 0.5 * 2 ** min(process.restarts, 5)) if now - process.started_at < 30 else 0.1
                )
                process.restarts = process.restarts + 1 if now - process.started_at < 30 else 0
                log.warning(
                    "%s ended with %s; it starts again in %.1f s (log: %s)",
                    process.name, process.child.returncode, pause, self.log_dir / f"{process.name}.log",
                )  # fmt: skip
                process.child, process.restart_at = None, now + pause

    def stop(self, is_impatient: Callable[[], bool]) -> None:
        """SIGTERM, each with its time limit, then SIGKILL; at once when `is_impatient` says so."""
        for process in reversed(self.processes):
            child = process.child
            if child is None or child.poll() is not None:
                continue
            child.terminate()
            deadline = time.monotonic() + process.stop_s
            while child.poll() is None and time.monotonic() < deadline and not is_impatient():
                time.sleep(0.02)
            if child.poll() is None:
                log.warning("%s did not stop by itself and was killed", process.name)
                child.kill()
            child.wait()

    def _spawn(self, process: Process) -> None:
        self.log_dir.mkdir(parents=True, exist_ok=True)
        parent = os.getpid()
        with open(self.log_dir / f"{process.name}.log", "ab") as output:
            # A session of its own: Ctrl-C in the terminal reaches only this parent, which stops them in order.
            process.child = subprocess.Popen(
                process.command, stdin=subprocess.DEVNULL, stdout=output, stderr=output,
                env=dict(self.environment), start_new_session=True, preexec_fn=lambda: _die_with(parent),
            )  # fmt: skip
        process.started_at = time.monotonic()


def _die_with(parent: int) -> None:
    """In the child: SIGTERM when the parent dies, even by kill -9."""
    _libc.prctl(PR_SET_PDEATHSIG, signal.SIGTERM)
    if os.getppid() != parent:
        os._exit(1)
