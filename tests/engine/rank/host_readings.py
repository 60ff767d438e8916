"""Pressures of this host and CPU time of ranks while an attempt runs."""

from __future__ import annotations

import os
import threading
import time
from dataclasses import replace
from pathlib import Path
from types import TracebackType

from engine.verdict.facts import Facts
from tests.engine.rank.attempts import Attempt
from tests.engine.rank.injection import QUOTA_GROUPS, QUOTA_PREFIX

PAUSE_S = 0.02
TICKS_PER_S = os.sysconf("SC_CLK_TCK")
Sample = dict[tuple[str, int], float]  # metric and process (0: the host) -> counter in seconds


class HostReadings:
    """Samples counters until its block ends; removes the control groups of injected quotas."""

    def __init__(self, pids: list[int]) -> None:
        self._pids, self._samples = pids, [(time.time(), self._read(pids))]
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._sample, daemon=True)

    def __enter__(self) -> HostReadings:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop.set()
        self._thread.join()
        for pid in self._pids:
            group = QUOTA_GROUPS / f"{QUOTA_PREFIX}{pid}"
            if group.exists():
                group.rmdir()

    def add_to(self, facts: Facts, attempt: Attempt) -> Facts:
        """The facts with means over the steady steps."""
        times = [line.at for line in attempt.lines("step") if line.step and line.step >= facts.first_step - 1]
        inside = [
            (at, sample)
            for at, sample in self._samples
            if times[0] <= at <= times[-1] and all(("cores_used", pid) in sample for pid in self._pids)
        ]
        if len(inside) < 2:  # ranks that run before everything else left no time for a sample
            return facts
        (start, first), (end, last) = inside[0], inside[-1]
        devices = []
        for pid, device in zip(self._pids, facts.devices, strict=True):
            means = {
                metric: (last[metric, owner] - first[metric, owner]) / (end - start)
                for metric, owner in last
                if owner in (0, pid) and (metric, owner) in first
            }
            means["utilisation_pct"] = 100 * means["cores_used"]
            devices.append(replace(device, means=means))
        return facts.replace(devices=tuple(devices))

    def _sample(self) -> None:
        while not self._stop.wait(PAUSE_S):
            self._samples.append((time.time(), self._read(self._pids)))

    @staticmethod
    def _read(pids: list[int]) -> Sample:
        found: Sample = {}
        for what in ("cpu", "memory", "io"):
            pressure = Path("/proc/pressure") / what
            if pressure.exists():
                some = pressure.read_text().splitlines()[0]
                found[f"{what}_pressure_share", 0] = float(some.rpartition("total=")[2]) / 1e6
        for pid in pids:
            try:
                fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
                found["cores_used", pid] = (int(fields[11]) + int(fields[12])) / TICKS_PER_S
                counts = (QUOTA_GROUPS / f"{QUOTA_PREFIX}{pid}" / "cpu.stat").read_text().split()
                found["cpu_throttle_share", pid] = int(counts[counts.index("throttled_time") + 1]) / 1e9
            except (OSError, IndexError):
                continue  # the rank has ended, or has no quota
        return found
