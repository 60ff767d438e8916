"""Runs of one real rank on the device of a measurement."""

from __future__ import annotations

import contextlib
import os
import signal
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from engine.directory import AttemptDirectory, RankExit, SupervisorState
from engine.local import LocalFolders, prepare_attempt
from engine.planner import HardwareProfile
from engine.spec.spec import Spec
from engine.telemetry.attempts import local_attempt
from engine.telemetry.sampler import DeviceSampler
from engine.verdict.attempt_facts import read_attempt_facts
from engine.verdict.facts import Facts
from fourwalls.system import procfs
from fourwalls.system.readings import DeviceInfo
from fourwalls.system.sources import open_source
from tests.engine.rank import injection
from tests.engine.rank.attempts import ROOT, Attempt, Forker
from tests.gpu.forker import KIND

IMPORTS_LIMIT_S = 120
SAMPLE_S = 0.25
WARM_UP_STEPS = 5


class KindForker(Forker):
    """Forks ranks of one device kind."""

    def __init__(self, kind: str) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.gpu.forker"], cwd=ROOT, stdin=subprocess.PIPE,
            stdout=subprocess.PIPE, env=os.environ | {KIND: kind},
        )  # fmt: skip
        self._last = None
        try:
            assert self._answer(IMPORTS_LIMIT_S) == "ready"
        except BaseException:
            self._process.kill()
            raise

    def kill(self) -> None:
        """End the process and its ranks, in whatever state they are."""
        for pid in self._last.pids if self._last else []:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        self._process.kill()
        self._process.wait(10)


@dataclass(frozen=True)
class RankRun:
    """An attempt of one rank that has ended."""

    spec: Spec
    attempt: Attempt

    def median(self, metric: str, source: str = "run") -> float | None:
        values = list(self.attempt.series(metric, source).values())[WARM_UP_STEPS:]
        return statistics.median(values) if values else None

    def maximum(self, metric: str, source: str) -> float | None:
        return max(self.attempt.series(metric, source).values(), default=None)

    @property
    def sequence_s(self) -> float:
        """Seconds of a sequence by the clock, with all that lies between the steps."""
        at = [line.at for line in self.attempt.lines("step")][WARM_UP_STEPS - 1 :]
        return (at[-1] - at[0]) / (len(at) - 1) / self.spec.batch.global_batch_size

    def facts(self, profile: HardwareProfile | None) -> Facts:
        return read_attempt_facts(self.attempt.directory).replace(profile=profile)


@dataclass
class RankBench:
    """One device, one process that forks ranks, and what earlier parts have found."""

    device: DeviceInfo
    folder: Path  # of the results
    work: Path  # of attempts and prepared data
    is_dry: bool
    profile: HardwareProfile | None = None  # after the probe
    recording: Any = None  # process that records the driver, while it runs
    _forker: KindForker | None = field(default=None, repr=False)
    _count: int = 0

    @property
    def folders(self) -> LocalFolders:
        return LocalFolders(self.work / "locks", self.work / "data", self.work / "data")

    @property
    def on_cuda(self) -> bool:
        return self.device.kind == "cuda"

    def run(self, spec: Spec, **inject: Any) -> RankRun:
        """Train to the end. Raises SpecError, AssertionError (with the end of the rank's log) and OSError."""
        self._count += 1
        directory = AttemptDirectory(self.work / f"attempt{self._count}")
        prepare_attempt(directory, spec, [self.device], self.folders, False)
        injection.put(directory.path, runs_first=False, **inject)
        self._forker = self._forker or KindForker(self.device.kind)
        attempt = self._forker.start(directory)
        with self._sampled(directory, attempt):
            codes = attempt.exit_codes
        assert set(codes) == {0}, f"exit codes {codes}: {last_lines(attempt.log())}"
        return RankRun(spec, attempt)

    def reset(self) -> None:
        """Leave the ranks and their fork server; the next run starts a new one."""
        if self._forker:
            self._forker.kill()
        self._forker = None

    def close(self) -> None:
        self.reset()
        if self.recording:
            self.recording.kill()
            self.recording.wait()
            self.recording = None

    @contextlib.contextmanager
    def _sampled(self, directory: AttemptDirectory, attempt: Attempt) -> Iterator[None]:
        """Sample the device into the spool, as for an attempt with a supervisor."""
        own, now = procfs.stat(os.getpid()), time.time()
        assert own
        ranks = tuple(RankExit(rank, pid) for rank, pid in enumerate(attempt.pids))
        directory.write_state(SupervisorState("running", os.getpid(), own.started_ticks, now, now, ranks))
        local, (source, _) = local_attempt(directory.path), open_source()
        local.refresh()
        sampler = DeviceSampler(directory.path / "devices.json", lambda: [local], source, SAMPLE_S)
        stop = threading.Event()

        def sample() -> None:
            while not stop.wait(SAMPLE_S):
                sampler.guarded_tick(time.monotonic())

        thread = threading.Thread(target=sample, daemon=True)
        thread.start()
        try:
            yield
        finally:
            stop.set()
            thread.join()
            source.close()


def last_lines(text: str, count: int = 3) -> str:
    return " / ".join(text.strip().splitlines()[-count:])


def changed(values: Mapping[str, Any], changes: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """Merge changes of parts: {"batch": {...}}."""
    return {**values, **{part: {**values.get(part, {}), **fields} for part, fields in changes.items()}}
