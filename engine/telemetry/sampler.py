"""Sampler of a node: reads every device at a fixed period.

`python -m engine.telemetry.sampler NODE_DIR [--period 1.0]`. Writes NODE_DIR/devices.json with the newest reading by
device id, and with "host" (the machine) and "sampler" (the cost of sampling). Appends one line per device to
spool/device.jsonl of each live attempt in NODE_DIR/attempts. A node has one sampler: a second one finds the lock held
and exits.
"""

from __future__ import annotations

import argparse
import fcntl
import logging
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec

from engine.small_files import write_atomically
from engine.telemetry.attempts import LocalAttempt, LocalAttempts
from engine.telemetry.wire import SpoolLine
from fourwalls.system.energy import Energy
from fourwalls.system.host import Host
from fourwalls.system.readings import DeviceReading, DeviceSource
from fourwalls.system.sources import open_source

PERIOD_LIMITS_S = (0.2, 60.0)
ABANDONED_S = 15 * 60.0

log = logging.getLogger(__name__)


class DeviceSampler:
    """The work of one tick; `ticks` decides when ticks happen."""

    def __init__(
        self, file: Path, live: Callable[[], list[LocalAttempt]], source: DeviceSource, period_s: float
    ) -> None:
        self._file = file
        self._live = live
        self._source = source
        self._host = Host(file.parent)
        self._energy = Energy(_read_bases(self._file))
        # Of each attempt and device: missing metrics and unix time of the newest fault in the lines so far
        self._sent_missing: dict[tuple[str, str], dict[str, tuple[str, str]]] = {}
        self._newest_fault_at: dict[tuple[str, str], float] = {}
        self._cost = SamplingCost(period_s)
        self.has_live_attempts = False

    def guarded_tick(self, now_s: float) -> None:
        """A tick whose failure does not end the loop; devices.json holds the number of failures and the last error."""
        try:
            self.tick(now_s, time.time())
        except Exception as error:
            text = f"{type(error).__name__}: {error}"
            if text != self._cost.last_error:  # a full disk fails every tick; devices.json has the count
                log.exception("A tick failed")
            self._cost.errors += 1
            self._cost.last_error = text
        self._cost.add(time.monotonic() - now_s)

    def tick(self, now_s: float, at: float) -> None:
        """Read devices, write devices.json, append lines. `now_s` is monotonic, `at` is unix time."""
        live = self._live()
        self.has_live_attempts = bool(live)
        attempt_by_device = {device: attempt for attempt in live for device in attempt.pids}
        pids = {device: attempt.pids[device] for device, attempt in attempt_by_device.items()}
        readings = self._source.read(now_s, pids)
        for device, reading in readings.items():
            self._settle_energy(reading, device, attempt_by_device.get(device), at)
        for attempt in live:
            self._append_lines(
                attempt, [device for device in attempt.pids if device in readings], readings, at
            )
        self._forget({attempt.name for attempt in live})
        self._write(readings, at, sum(attempt.spool.dropped for attempt in live))

    def _settle_energy(
        self, reading: DeviceReading, device: str, attempt: LocalAttempt | None, at: float
    ) -> None:
        if attempt and attempt.state:
            self._energy.put(reading, attempt.name, device, at - attempt.state.started_at)
        elif "energy_j" not in reading.missing:
            reading.set_missing("absent", "no attempt on this device", "energy_j")

    def _append_lines(
        self, attempt: LocalAttempt, devices: list[str], readings: dict[str, DeviceReading], at: float
    ) -> None:
        lines = []
        for device in devices:
            reading, key = readings[device], (attempt.name, device)
            news = reading.missing if reading.missing != self._sent_missing.get(key) else {}
            values = reading.metrics | (reading.slow if reading.has_new_slow else {})
            lines.append(SpoolLine("device", at, f"device:{device}", metrics=dict(values), missing=news))
            lines += self._new_faults(attempt, device, reading)
        if attempt.spool.write(lines):
            self._sent_missing |= {(attempt.name, device): readings[device].missing for device in devices}

    def _new_faults(self, attempt: LocalAttempt, device: str, reading: DeviceReading) -> list[SpoolLine]:
        """Faults for the events of the attempt on the device, each once."""
        since = self._newest_fault_at.get(
            (attempt.name, device), attempt.state.started_at if attempt.state else 0.0
        )
        news = [fault for fault in reading.faults if fault.at > since]
        if news:
            self._newest_fault_at[attempt.name, device] = news[-1].at
        return [
            SpoolLine(
                "note", fault.at, f"device:{device}", text=f"Device {device}: {fault.text}", level="error"
            )
            for fault in news
        ]

    def _forget(self, live: set[str]) -> None:
        self._sent_missing = {key: missing for key, missing in self._sent_missing.items() if key[0] in live}
        self._newest_fault_at = {key: at for key, at in self._newest_fault_at.items() if key[0] in live}
        self._energy.forget_all_but(live)

    def _write(self, readings: dict[str, DeviceReading], at: float, dropped_lines: int) -> None:
        content: dict[str, Any] = {
            device: {
                "metrics": reading.metrics | reading.slow,
                "missing": reading.missing,
                "facts": reading.facts,
                "sources": reading.sources,
                "faults": reading.faults,
                "faults_missing": reading.faults_missing,
                "at": at,
            }
            for device, reading in readings.items()
        }
        cost = self._cost.figures()
        of_sampling = {"sampling_tick_ms": cost["tick_mean_ms"], "sampling_core_share": cost["cpu_share"]}
        content["host"] = self._host.read() | of_sampling | {"at": at}
        content["sampler"] = cost | {
            "at": at,
            "dropped_lines": dropped_lines,
            "energy_base_j": self._energy.bases,
        }
        write_atomically(self._file, msgspec.json.encode(content))


class SamplingCost:
    """Cost of sampling: wall time of a tick, and share of one core."""

    def __init__(self, period_s: float) -> None:
        self._period_s = period_s
        self._began_s, self._began_cpu_s = time.monotonic(), time.process_time()
        self._ticks = 0
        self._last_s = self._total_s = 0.0
        self.errors = 0
        self.last_error = ""

    def add(self, tick_s: float) -> None:
        self._ticks += 1
        self._last_s = tick_s
        self._total_s += tick_s

    def figures(self) -> dict[str, Any]:
        wall_s = time.monotonic() - self._began_s
        return {
            "pid": os.getpid(),
            "period_s": self._period_s,
            "ticks": self._ticks,
            "tick_ms": 1000 * self._last_s if self._ticks else None,
            "tick_mean_ms": 1000 * self._total_s / self._ticks if self._ticks else None,
            "cpu_share": (time.process_time() - self._began_cpu_s) / wall_s if wall_s > 0 else None,
            "errors": self.errors,
            "last_error": self.last_error,
        }


def ticks(period_s: float, clock: Callable[[], float], wait: Callable[[float], bool]) -> Iterator[float]:
    """Monotonic times begin, begin + period, ... A slow tick delays no later tick; ticks that it overlaps are skipped.
    Ends when `wait` returns true."""
    begin, number = clock(), 0
    while True:
        yield clock()
        number = max(number + 1, int((clock() - begin) / period_s) + 1)
        if wait(max(0.0, begin + number * period_s - clock())):
            return


def run(node_dir: Path, period_s: float) -> int:
    """Sample until SIGTERM, or until neither an agent nor an attempt is left."""
    node_dir.mkdir(parents=True, exist_ok=True, mode=0o700)
    lock = os.open(node_dir / "sampler.lock", os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return 0  # another sampler runs on this node
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    source, _ = open_source()
    attempts = LocalAttempts(node_dir / "attempts")
    sampler, began_at = DeviceSampler(node_dir / "devices.json", attempts.live, source, period_s), time.time()
    for now_s in ticks(period_s, time.monotonic, stop.wait):
        sampler.guarded_tick(now_s)
        if not node_dir.is_dir():
            break  # the folder of the node was deleted
        if not sampler.has_live_attempts and _agent_absence_s(node_dir, began_at) > ABANDONED_S:
            break
    source.close()
    return 0


def _agent_absence_s(node_dir: Path, began_at: float) -> float:
    """Seconds since the agent last touched its file, or since the start of the sampler if it never did."""
    try:
        return time.time() - (node_dir / "agent.alive").stat().st_mtime
    except FileNotFoundError:
        return time.time() - began_at


def _read_bases(file: Path) -> dict[str, dict[str, float | None]]:
    """Energy bases that an earlier sampler of this node wrote, so that the energy of attempts continues."""
    try:
        return dict(msgspec.json.decode(file.read_bytes())["sampler"]["energy_base_j"])
    except (OSError, msgspec.MsgspecError, KeyError, TypeError):
        return {}


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m engine.telemetry.sampler", description="Sample this node's devices."
    )
    parser.add_argument("node_dir", type=Path)
    parser.add_argument("--period", type=float, default=1.0, help="seconds between two readings (default 1)")
    options = parser.parse_args(arguments)
    lowest, highest = PERIOD_LIMITS_S
    if not lowest <= options.period <= highest:
        parser.error(f"a period of {options.period} s is out of range: {lowest} to {highest} s")
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s")
    return run(options.node_dir, options.period)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
