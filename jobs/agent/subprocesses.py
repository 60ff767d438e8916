"""Helper processes of the agent, restarted with a growing pause when they exit."""

from __future__ import annotations

import contextlib
import logging
import os
import signal
import subprocess
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from engine.supervisor.environment import ROOT, filter_environment
from engine.supervisor.locks import holders

log = logging.getLogger(__name__)

FIRST_PAUSE_S = 0.5
LONGEST_PAUSE_S = 60.0
HEALTHY_AFTER_S = 30.0  # the pause is reset for a process that ran this long
STOP_LIMIT_S = 5.0


class ProcessSupervisor:
    """Keeps one helper process running.

    The process gets no credentials: only the environment that a rank may see, and the FOURWALLS_ settings.
    """

    def __init__(
        self, name: str, command: Sequence[str], node_dir: Path, environment: Mapping[str, str] | None = None
    ) -> None:
        self.name = name
        self._command = list(command)
        self._log = node_dir / f"{name}.log"
        self._environment = _environment() | dict(environment or {})
        self._process: subprocess.Popen[bytes] | None = None
        self._started_at = 0.0
        self._start_at = 0.0
        self._pause_s = FIRST_PAUSE_S

    @property
    def age_s(self) -> float | None:
        """How long the process has been running; None if it does not run."""
        return time.monotonic() - self._started_at if self._process else None

    def tick(self) -> None:
        """Start the process if it does not run and its pause is over.

        Call it from a thread that lives as long as the process: the death signal is tied to the thread that forks it.
        """
        now = time.monotonic()
        if self._process is not None and self._process.poll() is not None:
            self._record_exit(now)
        if self._process is None and now >= self._start_at:
            self._started_at = now
            self._start(now)

    def stop(self) -> None:
        if self._process is None:
            return
        self._process.terminate()
        try:
            self._process.wait(STOP_LIMIT_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._process = None

    def _start(self, now: float) -> None:
        try:
            with self._log.open("ab") as output:
                # In its own session, so that Ctrl-C in a terminal reaches only the agent, which then stops it.
                self._process = subprocess.Popen(
                    self._command,
                    stdin=subprocess.DEVNULL, stdout=output, stderr=output,
                    env=self._environment, start_new_session=True,
                )  # fmt: skip
        except OSError as error:
            self._back_off(now)
            log.warning("%s cannot be started: %s", self.name, error)

    def _record_exit(self, now: float) -> None:
        assert self._process is not None
        code, self._process = self._process.returncode, None
        if now - self._started_at > HEALTHY_AFTER_S:
            self._pause_s = FIRST_PAUSE_S
        self._back_off(now)
        log.warning("%s ended with %s; it starts again in %.1f s (log: %s)",
                    self.name, code, self._start_at - now, self._log)  # fmt: skip

    def _back_off(self, now: float) -> None:
        self._start_at = now + self._pause_s
        self._pause_s = min(LONGEST_PAUSE_S, 2 * self._pause_s)


def terminate_orphan(lock: Path) -> list[int]:
    """Send SIGTERM to the processes that hold `lock`: helpers that outlived their agent. Returns their pids."""
    pids = holders(lock)
    for pid in pids:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGTERM)
    return pids


def _environment() -> dict[str, str]:
    own = {name: value for name, value in os.environ.items() if name.startswith("FOURWALLS_")}
    own.pop("FOURWALLS_JOIN_TOKEN", None)
    path = os.pathsep.join(filter(None, (str(ROOT), os.environ.get("PYTHONPATH", ""))))
    return filter_environment(os.environ) | own | {"PYTHONPATH": path}
