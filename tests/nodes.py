"""Several nodes on one machine: extra agents with their own identity, folder and devices."""

from __future__ import annotations

import contextlib
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path

import psutil

from engine.directory import AttemptDirectory
from tests.running import ROOT, Fourwalls


@dataclass
class ExtraNode:
    """One more node of a running Fourwalls: `manage.py agent` and all processes below it."""

    fourwalls: Fourwalls
    name: str
    environment: dict[str, str] = field(default_factory=dict)
    prefix: tuple[str, ...] = ()  # a command that runs another one, for example in a network namespace
    process: subprocess.Popen[bytes] | None = None

    @property
    def folder(self) -> Path:
        return self.fourwalls.home / f"node-{self.name}"

    def start(self) -> ExtraNode:
        own = {
            "FOURWALLS_NODE_DIR": str(self.folder),
            "FOURWALLS_NODE_NAME": self.name,
            "FOURWALLS_MACHINE_ID": self.name,
        }
        with (self.fourwalls.home / f"{self.name}.log").open("ab") as log:
            self.process = subprocess.Popen(
                [*self.prefix, sys.executable, "manage.py", "agent"],
                cwd=ROOT, env=self.fourwalls.env | own | self.environment, start_new_session=True,
                stdin=subprocess.DEVNULL, stdout=log, stderr=log,
            )  # fmt: skip
        return self

    @property
    def pids(self) -> list[int]:
        """Agent, sampler and fork server by their environment; supervisors and ranks by the files they wrote."""
        found = [p.pid for p in psutil.process_iter() if self._belongs_to_node(p)]
        for path in (self.folder / "attempts").glob("*"):
            state = AttemptDirectory(path).read_state()
            if state and not state.is_terminal:
                found += [state.pid, *(rank.pid for rank in state.ranks if rank.exit_code is None)]
        return list(dict.fromkeys(found))

    def restart_agent(self) -> None:
        """kill -9 of the agent alone: its supervisors and ranks survive, and the next agent finds them."""
        assert self.process is not None
        self.process.kill()
        self.process.wait()
        self.start()

    def kill(self) -> None:
        """Kill everything at once, as in a power failure."""
        processes = []
        for pid in self.pids:
            with contextlib.suppress(psutil.NoSuchProcess):
                processes.append(psutil.Process(pid))
        for process in processes:
            with contextlib.suppress(psutil.NoSuchProcess):
                process.suspend()
        for process in processes:
            with contextlib.suppress(psutil.NoSuchProcess):
                process.kill()
        if self.process:
            self.process.wait()

    def _belongs_to_node(self, process: psutil.Process) -> bool:
        with contextlib.suppress(psutil.NoSuchProcess, psutil.AccessDenied):
            is_alive = process.status() != psutil.STATUS_ZOMBIE
            return is_alive and process.environ().get("FOURWALLS_NODE_DIR") == str(self.folder)
        return False
