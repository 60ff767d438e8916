"""Competitors that train alternately, each in processes that wait while another one runs."""

from __future__ import annotations

import json
import os
import select
import statistics
import subprocess
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from engine.supervisor.environment import free_port
from tests.running import ROOT

# The environment of the engine's own ranks on a machine of two cores.
ENVIRONMENT = {"OMP_NUM_THREADS": "1", "TORCHDYNAMO_DISABLE": "1", "DS_ACCELERATOR": "cpu"}
START_LIMIT_S, TURN_LIMIT_S = 300, 120


@dataclass(frozen=True)
class Turn:
    wall_s: float
    cpu_s: float  # of all its processes together


class Competitor:
    """Processes of one competitor, with one command per rank; each process uses tests.perf.alternation_child."""

    def __init__(self, name: str, commands: Sequence[Sequence[str]], log: Path) -> None:
        self.name, self.log = name, log / f"{name}.log"
        environment = ENVIRONMENT | {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(free_port("127.0.0.1"))}
        with self.log.open("w") as errors:
            self._ranks = [
                self._start(command, environment | _rank_environment(rank, len(commands)), errors)
                for rank, command in enumerate(commands)
            ]

    def _start(self, command: Sequence[str], environment: Mapping[str, str], errors: Any) -> Any:
        return subprocess.Popen(command, cwd=ROOT, env=os.environ | environment, stdin=subprocess.PIPE,
                                stdout=subprocess.PIPE, stderr=errors)  # fmt: skip

    def wait_until_ready(self) -> None:
        """Wait until the competitor has warmed up."""
        self._read_answers(START_LIMIT_S)

    def run_turn(self, steps: int) -> Turn:
        began = time.perf_counter()
        for rank in self._ranks:
            rank.stdin.write(f"{steps}\n".encode())
            rank.stdin.flush()
        answers = self._read_answers(TURN_LIMIT_S)
        return Turn(time.perf_counter() - began, sum(answers))

    def _read_answers(self, limit_s: float) -> list[float]:
        found = []
        for rank in self._ranks:
            answered, _, _ = select.select([rank.stdout], [], [], limit_s)
            line = rank.stdout.readline() if answered else b""
            assert line, f"{self.name} does not respond:\n{self.log.read_text()[-3000:]}"
            found.append(float(json.loads(line)))
        return found

    def stop(self) -> None:
        for rank in self._ranks:
            rank.kill()
            rank.wait()


def _rank_environment(rank: int, ranks: int) -> dict[str, str]:
    """Rank variables; none for a single rank, since a peer would take itself for one of several."""
    if ranks == 1:
        return {}
    return {"RANK": str(rank), "LOCAL_RANK": str(rank), "WORLD_SIZE": str(ranks)}


def run_alternating(competitors: Sequence[Competitor], rounds: int, steps: int = 1) -> dict[str, list[Turn]]:
    """Run `steps` steps of each competitor in turn, `rounds` times, so that other load slows all alike."""
    try:
        for competitor in competitors:
            competitor.wait_until_ready()
        found: dict[str, list[Turn]] = {competitor.name: [] for competitor in competitors}
        for _ in range(rounds):
            for competitor in competitors:
                found[competitor.name].append(competitor.run_turn(steps))
        return found
    finally:
        for competitor in competitors:
            competitor.stop()


def ratio(one: Sequence[Turn], other: Sequence[Turn], what: str = "wall_s") -> float:
    """Cost of `one` divided by that of `other`: the median over pairs of consecutive turns."""
    return statistics.median(getattr(a, what) / getattr(b, what) for a, b in zip(one, other, strict=True))


def table(found: Mapping[str, Sequence[Turn]], tokens: int) -> str:
    """Median tokens per second and CPU seconds of a turn of `tokens` tokens."""
    lines = [f"{'':<14}{'tokens/s':>10}{'wall s':>9}{'CPU s':>9}   load {os.getloadavg()[0]:.1f}"]
    for name, turns in found.items():
        wall_s, cpu_s = (statistics.median(getattr(t, what) for t in turns) for what in ("wall_s", "cpu_s"))
        lines.append(f"{name:<14}{tokens / wall_s:>10,.0f}{wall_s:>9.3f}{cpu_s:>9.3f}")
    return "\n".join(lines)
