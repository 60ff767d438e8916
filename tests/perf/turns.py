"""Contenders that train by turns: each in processes of its own, which wait while another has the machine."""

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

# What the engine's own ranks get on a machine of two cores.
ENVIRONMENT = {"OMP_NUM_THREADS": "1", "TORCHDYNAMO_DISABLE": "1", "DS_ACCELERATOR": "cpu"}
START_LIMIT_S, TURN_LIMIT_S = 300, 120


@dataclass(frozen=True)
class Turn:
    wall_s: float
    cpu_s: float  # of all its processes together


class Contender:
    """`commands`: one a rank. Each process runs tests.perf.taking_turns."""

    def __init__(self, name: str, commands: Sequence[Sequence[str]], log: Path) -> None:
        self.name, self.log = name, log / f"{name}.log"
        told = ENVIRONMENT | {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(free_port("127.0.0.1"))}
        with self.log.open("w") as errors:
            self._ranks = [
                self._start(command, told | _seat(rank, len(commands)), errors)
                for rank, command in enumerate(commands)
            ]

    def _start(self, command: Sequence[str], told: Mapping[str, str], errors: Any) -> Any:
        return subprocess.Popen(command, cwd=ROOT, env=os.environ | told, stdin=subprocess.PIPE,
                                stdout=subprocess.PIPE, stderr=errors)  # fmt: skip

    def ready(self) -> None:
        """Once it has warmed up."""
        self._answers(START_LIMIT_S)

    def take(self, steps: int) -> Turn:
        began = time.perf_counter()
        for rank in self._ranks:
            rank.stdin.write(f"{steps}\n".encode())
            rank.stdin.flush()
        answers = self._answers(TURN_LIMIT_S)
        return Turn(time.perf_counter() - began, sum(answers))

    def _answers(self, limit_s: float) -> list[float]:
        found = []
        for rank in self._ranks:
            answered, _, _ = select.select([rank.stdout], [], [], limit_s)
            line = rank.stdout.readline() if answered else b""
            assert line, f"{self.name} does not answer:\n{self.log.read_text()[-3000:]}"
            found.append(float(json.loads(line)))
        return found

    def end(self) -> None:
        for rank in self._ranks:
            rank.kill()
            rank.wait()


def _seat(rank: int, ranks: int) -> dict[str, str]:
    """Nothing for one alone: a peer that reads these would take itself for one of several."""
    if ranks == 1:
        return {}
    return {"RANK": str(rank), "LOCAL_RANK": str(rank), "WORLD_SIZE": str(ranks)}


def by_turns(contenders: Sequence[Contender], rounds: int, steps: int = 1) -> dict[str, list[Turn]]:
    """`steps` steps of each after the other, `rounds` times; so whatever else slows the machine slows all alike."""
    try:
        for contender in contenders:
            contender.ready()
        found: dict[str, list[Turn]] = {contender.name: [] for contender in contenders}
        for _ in range(rounds):
            for contender in contenders:
                found[contender.name].append(contender.take(steps))
        return found
    finally:
        for contender in contenders:
            contender.end()


def ratio(one: Sequence[Turn], other: Sequence[Turn], what: str = "wall_s") -> float:
    """What `one` took over what `other` took: the median of pairs that ran after one another."""
    return statistics.median(getattr(a, what) / getattr(b, what) for a, b in zip(one, other, strict=True))


def table(found: Mapping[str, Sequence[Turn]], tokens: int) -> str:
    """Tokens a second and CPU seconds of a turn of `tokens` tokens, as medians."""
    lines = [f"{'':<14}{'tokens/s':>10}{'wall s':>9}{'CPU s':>9}   load {os.getloadavg()[0]:.1f}"]
    for name, turns in found.items():
        wall_s, cpu_s = (statistics.median(getattr(t, what) for t in turns) for what in ("wall_s", "cpu_s"))
        lines.append(f"{name:<14}{tokens / wall_s:>10,.0f}{wall_s:>9.3f}{cpu_s:>9.3f}")
    return "\n".join(lines)
