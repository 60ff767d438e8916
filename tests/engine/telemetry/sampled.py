"""Attempt directories for a sampler, a source that a test sets, and readers of what the sampler wrote."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec

from engine.directory import AttemptDirectory, Placement, RankExit, RankSeat, SupervisorState
from engine.spec.spec import parse
from engine.telemetry import wire
from engine.telemetry.attempts import LocalAttempts
from engine.telemetry.sampler import DeviceSampler
from fourwalls.system import procfs
from fourwalls.system.readings import DeviceInfo, DeviceReading


class Meter:
    """A source whose readings the test sets."""

    def __init__(self, *devices: str) -> None:
        self.values = {device: DeviceReading({"utilisation_pct": 50.0}, {}, 100.0) for device in devices}
        self.pids: Mapping[str, Sequence[int]] = {}

    def devices(self) -> list[DeviceInfo]:
        return []

    def read(self, now_s: float, pids: Mapping[str, Sequence[int]]) -> dict[str, DeviceReading]:
        self.pids = pids
        return {
            k: msgspec.structs.replace(r, metrics=dict(r.metrics), missing=dict(r.missing))
            for k, r in self.values.items()
        }

    def close(self) -> None: ...


def attempt(
    node_dir: Path, name: str, *devices: str, state: str = "running", pid: int = 0, age_s: float = 0.0
) -> AttemptDirectory:
    """An attempt directory as written by a supervisor with this pid (default: this process)."""
    directory = AttemptDirectory(node_dir / "attempts" / name)
    seats = tuple(RankSeat(r, r, device, "cpu", r, r, 0) for r, device in enumerate(devices))
    placement = Placement("j", "r", 1, "n", len(seats), "127.0.0.1", 0, seats, 1, "locks", "data", "corpora")
    directory.create(parse({}), placement, {}, time.time() + 60)
    report(directory, state, pid or os.getpid(), age_s, len(seats))
    return directory


def report(directory: AttemptDirectory, state: str, pid: int, age_s: float = 0.0, ranks: int = 1) -> None:
    found, now = procfs.stat(pid), time.time()
    ticks_ = found.started_ticks if found else 1.0
    exits = tuple(RankExit(rank, 1000 + rank) for rank in range(ranks))
    directory.write_state(SupervisorState(state, pid, ticks_, now - age_s, now, exits))  # type: ignore[arg-type]


def lines(directory: AttemptDirectory) -> list[wire.SpoolLine]:
    file = directory.spool / "device.jsonl"
    return [wire.decode(line) for line in file.read_bytes().splitlines()] if file.exists() else []


def devices_json(node_dir: Path) -> dict[str, Any]:
    return json.loads((node_dir / "devices.json").read_bytes())


def sampler_of(node_dir: Path, meter: Meter) -> DeviceSampler:
    return DeviceSampler(node_dir / "devices.json", LocalAttempts(node_dir / "attempts").live, meter, 1.0)
