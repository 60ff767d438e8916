"""A real Fourwalls in its own processes, for tests from outside."""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import psutil

from engine.directory import AttemptDirectory

T = TypeVar("T")

ROOT = Path(__file__).resolve().parent.parent

# The smallest spec that really trains: one or two seconds on any machine.
TINY = [
    "model.layers=2", "model.width=32", "model.heads=2", "model.ffn_width=64", "model.context=32",
    "data.tokenizer=bytes", "budget.steps=20", "budget.validate_every=10", "budget.checkpoint_every=10",
    "optimiser.warmup_steps=2", "batch.global_batch_size=8", "batch.micro_batch_size=4",
]  # fmt: skip


def changes(values: list[str]) -> list[str]:
    return [part for value in values for part in ("--set", value)]


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def wait_until(condition: Callable[[], T], limit_s: float = 60.0, description: str = "condition") -> T:
    """Return the first truthy result of `condition`; fail with the last result at the limit."""
    deadline = time.monotonic() + limit_s
    while True:
        answer = condition()
        if answer:
            return answer
        assert time.monotonic() < deadline, (
            f"{description} did not hold within {limit_s:.0f} s; last: {answer!r}"
        )
        time.sleep(0.05)


@dataclass
class Fourwalls:
    """`manage.py up` with its own home."""

    home: Path
    port: int
    environment: dict[str, str] = field(default_factory=dict)
    process: subprocess.Popen[str] | None = None
    output: list[str] = field(default_factory=list)
    token: str = ""

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def env(self) -> dict[str, str]:
        own = {
            "FOURWALLS_HOME": str(self.home),
            "BASE_URL": self.url,
            "DJANGO_SETTINGS_MODULE": "dashboard.settings",
            "FOURWALLS_PROBE_AFTER_IDLE_S": "0",  # a probe would use a core for ten seconds
        }
        outside = {
            k: v for k, v in os.environ.items() if k not in ("DATABASE_URL", "BROKER_URL", "PORT", "HOST")
        }
        return outside | own | self.environment

    def start(self, *arguments: str) -> Fourwalls:
        command = [sys.executable, "manage.py", "up", "--port", str(self.port), *arguments]
        self.process = subprocess.Popen(
            command, cwd=ROOT, env=self.env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
            start_new_session=True,
        )  # fmt: skip
        return self

    def wait_for_link(self) -> str:
        """The login link, which `up` prints once the pages respond."""
        assert self.process and self.process.stdout
        for line in self.process.stdout:
            self.output.append(line)
            if found := re.search(r"http://\S+/login/\S+", line):
                return found.group()
        raise AssertionError("up ended without a login link:\n" + "".join(self.output) + self.logs())

    def manage(self, *arguments: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        done = subprocess.run(
            [sys.executable, "manage.py", *arguments], cwd=ROOT, env=self.env, capture_output=True, text=True,
            check=False,
        )  # fmt: skip
        assert not check or done.returncode == 0, f"{arguments}: {done.stdout}{done.stderr}{self.logs()}"
        return done

    def request(self, path: str, body: dict[str, Any] | None = None) -> Any:
        """Response of the API, which is much faster than a command; with a body, it is a POST."""
        if not self.token:
            self.token = self.manage("token", "asked").stdout.strip()
        headers = {"Authorization": f"Bearer {self.token}", "Content-Type": "application/json"}
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(f"{self.url}/api/v1{path}", data, headers)
        with urllib.request.urlopen(request, timeout=30) as answer:
            return json.load(answer)

    def logs(self) -> str:
        folder = self.home / "log"
        return "".join(f"\n--- {p.name}\n{p.read_text()[-3000:]}" for p in sorted(folder.glob("*.log")))

    def interrupt(self, limit_s: float = 60.0) -> int:
        """Send Ctrl-C and return the exit code."""
        assert self.process
        self.process.send_signal(signal.SIGINT)
        self.output.append(self.process.communicate(timeout=limit_s)[0])
        return self.process.returncode

    def live_processes(self) -> list[psutil.Process]:
        """Every process of this home, by its environment or (for forked ranks) by state.json."""
        found = {process.pid: process for process in _processes_of_home(self.home)}
        for path in (self.home / "node" / "attempts").glob("*"):
            state = AttemptDirectory(path).read_state()
            for pid in (
                (state.pid, *(rank.pid for rank in state.ranks)) if state and not state.is_terminal else ()
            ):
                with contextlib.suppress(psutil.NoSuchProcess):
                    found[pid] = psutil.Process(pid)
        return list(found.values())

    def kill(self) -> None:
        for process in self.live_processes():
            with contextlib.suppress(psutil.NoSuchProcess):
                process.kill()


def _processes_of_home(home: Path) -> Iterator[psutil.Process]:
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.NoSuchProcess, psutil.AccessDenied):
            if process.status() != psutil.STATUS_ZOMBIE and process.environ().get("FOURWALLS_HOME") == str(
                home
            ):
                yield process
