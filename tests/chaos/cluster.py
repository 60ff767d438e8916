"""A complete Fourwalls of eight devices in real processes: broker, web, two schedulers, four agents, database."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil

from dashboard.server.processes import Subprocess, SubprocessGroup
from engine.directory import AttemptDirectory, SupervisorState
from fourwalls.system import procfs
from jobs import broker
from tests.running import ROOT, free_port, wait_until
from tests.services import Postgresql

HERE = Path(__file__).resolve().parent
MANAGE = [sys.executable, str(ROOT / "manage.py")]
NODES = {"a": 3, "b": 2, "c": 2, "d": 1}  # node -> devices; a gang of four needs several nodes
SCHEDULERS = 2
UNREACHABLE_AFTER_S, REASSIGN_AFTER_S, STOP_GRACE_S = 6, 14, 2
PREPARE_LIMIT_S, PREEMPT_AFTER_S = 10, 2
SPREAD = "from jobs.models import Pool; Pool.objects.update(allows_several_nodes=True)"


@dataclass
class Cluster:
    """All processes and files of one Fourwalls in `home`; without `server`, the database is SQLite."""

    home: Path
    server: Postgresql | None = None
    nodes: dict[str, int] = field(default_factory=lambda: dict(NODES))
    port: int = field(default_factory=free_port)
    token: str = ""
    groups: dict[str, SubprocessGroup] = field(default_factory=dict)  # "" holds everything except the agents
    _database_at: float = 0.0

    def start(self) -> Cluster:
        self.journal.mkdir(parents=True)
        self._write_trainer()
        self.manage("prepare")
        self.token = self.manage("token", "chaos").stdout.strip()
        common = self.groups[""] = SubprocessGroup(self.home / "log", self.environment)
        common.start(Subprocess("broker", broker.build_command(self.socket)))
        common.start(Subprocess("web", [*MANAGE, "web", "--port", str(self.port)]))
        for number in range(SCHEDULERS):
            common.start(Subprocess(f"scheduler{number}", [*MANAGE, "scheduler"]))
        for name, devices in self.nodes.items():
            own = {"FOURWALLS_NODE_NAME": name, "CHAOS_DEVICES": str(devices),
                   "FOURWALLS_NODE_DIR": str(self.node_dir(name))}  # fmt: skip
            group = self.groups[name] = SubprocessGroup(self.home / "log", {**self.environment, **own})
            group.start(Subprocess(f"agent-{name}", [sys.executable, str(HERE / "agent.py")]))
        wait_until(lambda: len(self.nodes_now()) == len(self.nodes), description="all nodes")
        self.manage("shell", "-v0", "-c", SPREAD)
        return self

    @property
    def journal(self) -> Path:
        return self.home / "journal"

    @property
    def socket(self) -> Path:
        return self.home / "broker" / "broker.sock"

    @property
    def environment(self) -> dict[str, str]:
        outside = {
            k: v for k, v in os.environ.items() if not k.startswith(("FOURWALLS_", "DATABASE_", "BROKER_"))
        }
        return outside | {
            "FOURWALLS_HOME": str(self.home),
            "DATABASE_URL": self.server.url if self.server else "",
            "BASE_URL": f"http://127.0.0.1:{self.port}",
            "DJANGO_SETTINGS_MODULE": "dashboard.settings",
            "PYTHONPATH": str(ROOT),
            "TRAINER_PYTHON": str(self.home / "trainer"),
            "FOURWALLS_FORK_SERVER": "0",
            "FOURWALLS_RETRY_LIMIT": "1000",  # a killed rank counts as a failure
            "FOURWALLS_UNREACHABLE_AFTER_S": str(UNREACHABLE_AFTER_S),
            "FOURWALLS_REASSIGN_AFTER_S": str(REASSIGN_AFTER_S),
            "FOURWALLS_STOP_GRACE_S": str(STOP_GRACE_S),
            "FOURWALLS_PREPARE_LIMIT_S": str(PREPARE_LIMIT_S),
            "FOURWALLS_PREEMPT_AFTER_S": str(PREEMPT_AFTER_S),
            "FOURWALLS_SUSPECT_PAUSE_S": "5",
            "FOURWALLS_CHECKPOINT_ROOT": str(self.home / "shared"),
            "FOURWALLS_NODE_ADDRESS": "127.0.0.1",
            "LOG_LEVEL": "WARNING",
        }

    def node_dir(self, name: str) -> Path:
        return self.home / "nodes" / name

    def manage(self, *arguments: str, limit_s: float | None = None) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [*MANAGE, *arguments], cwd=ROOT, env=self.environment, capture_output=True, text=True, check=True,
            timeout=limit_s,
        )  # fmt: skip

    def get(self, path: str) -> Any:
        return self._request(urllib.request.Request(self._url(path)))

    def post(self, path: str, body: dict[str, Any] | None = None) -> Any:
        request = urllib.request.Request(self._url(path), data=json.dumps(body or {}).encode(), method="POST")
        request.add_header("Content-Type", "application/json")
        return self._request(request)

    def nodes_now(self) -> list[dict[str, Any]]:
        answer = self.get("/pools")
        return [node for pool in answer["pools"] for node in pool["nodes"]] if answer else []

    def _request(self, request: urllib.request.Request) -> Any:
        """The response; None if the web server or the database is down or stopped."""
        request.add_header("Authorization", f"Bearer {self.token}")
        try:
            with urllib.request.urlopen(request, timeout=5) as answer:
                return json.load(answer)
        except urllib.error.HTTPError as error:
            assert error.code >= 500 or error.code == 409, error.read().decode()
            return None
        except (OSError, ValueError):
            return None

    def _url(self, path: str) -> str:
        return f"http://127.0.0.1:{self.port}/api/v1{path}"

    def restart_dead(self) -> None:
        """Restart ended processes, as `up` does several times a second, and the database, as a service
        manager would."""
        for group in self.groups.values():
            group.watch()
        if self.server and time.monotonic() > self._database_at and not _is_running(self.server.pid):
            self._database_at = time.monotonic() + 1.0
            threading.Thread(target=self.server.start, daemon=True).start()

    def pids(self, kind: str) -> list[int]:
        """Live processes of a kind: web, scheduler, agent, broker, supervisor, rank, database."""
        if kind == "database":
            return [self.server.pid] if self.server and _is_running(self.server.pid) else []
        if kind in ("supervisor", "rank"):
            return [pid for _, state in self.live_states() for pid in _pids(kind, state)]
        processes = [p for group in self.groups.values() for p in group.processes if p.name.startswith(kind)]
        return [p.popen.pid for p in processes if p.popen and p.popen.poll() is None]

    def agent_of(self, node: str) -> int | None:
        child = self.groups[node].processes[0].popen
        return child.pid if child and child.poll() is None else None

    def pids_on(self, node: str) -> list[int]:
        """Live supervisors and ranks of one node."""
        return [
            pid
            for _, state in self.live_states(node)
            for kind in ("supervisor", "rank")
            for pid in _pids(kind, state)
        ]

    def live_states(self, node: str = "*") -> Iterator[tuple[Path, SupervisorState]]:
        for path in (self.home / "nodes").glob(f"{node}/attempts/*"):
            state = AttemptDirectory(path).read_state()
            if state and not state.is_terminal and procfs.is_alive(state.pid, state.pid_started):
                yield path, state

    @contextlib.contextmanager
    def write_lock(self) -> Iterator[None]:
        """Hold the single write lock of SQLite, which has no process to kill."""
        connection = sqlite3.connect(self.home / "fourwalls.sqlite3", timeout=60, isolation_level=None)
        try:
            connection.execute("BEGIN IMMEDIATE")
            yield
            connection.execute("ROLLBACK")
        finally:
            connection.close()

    def wipe_broker(self) -> None:
        """kill -9 the broker and delete its data before it is restarted."""
        for pid in self.pids("broker"):
            os.kill(pid, signal.SIGKILL)
        shutil.rmtree(self.socket.parent / "appendonlydir", ignore_errors=True)

    def stop(self) -> None:
        """Stop the agents first: each stops its sampler."""
        for name in reversed(list(self.groups)):
            self.groups[name].stop(is_impatient=lambda: False)

    def processes(self) -> list[psutil.Process]:
        """Every live process with this home in its environment or command line."""
        return [
            p
            for p in psutil.process_iter()
            if p.pid != os.getpid() and str(self.home) in _identifying_text(p)
        ]

    def kill(self) -> None:
        for process in self.processes():
            with contextlib.suppress(psutil.NoSuchProcess):
                process.kill()
        if self.server:
            self.server.close()

    def logs(self) -> str:
        return "".join(f"\n--- {p.name}\n{p.read_text()[-2000:]}" for p in (self.home / "log").glob("*.log"))

    def _write_trainer(self) -> None:
        trainer = self.home / "trainer"
        trainer.write_text(
            f'#!/bin/sh\nexec "{sys.executable}" -ISE "{HERE / "fake_rank.py"}" "{self.journal}" "$3" "$4"\n'
        )
        trainer.chmod(0o700)


def _pids(kind: str, state: SupervisorState) -> list[int]:
    return [state.pid] if kind == "supervisor" else [r.pid for r in state.ranks if r.exit_code is None]


def _is_running(pid: int | None) -> bool:
    return pid is not None and procfs.stat(pid) is not None


def _identifying_text(process: psutil.Process) -> str:
    try:
        if process.status() == psutil.STATUS_ZOMBIE:
            return ""
        return " ".join([*process.cmdline(), *process.environ().values()])
    except (psutil.NoSuchProcess, psutil.AccessDenied):
        return ""
