"""Profiles of chosen steps on request: a file in the attempt's trace/ asks, the ranks agree on the step, Kineto writes.

The request is looked for at every step border, for the price of one stat. Every rank adds its request's number to the
border's all-reduce; once all have the same one, the next step is the first: on several nodes the files do not appear
at the same moment. All ranks keep the timelines of these steps; the ranks that were asked for also write a profile.
"""

from __future__ import annotations

import os
import time
from typing import Any

import torch

from engine.directory import TRACE_BYTES, AttemptDirectory, TraceRequest
from engine.rank.measure.breakdown import Breakdown
from engine.rank.measure.recorder import Recorder
from engine.telemetry.heartbeat import Heartbeat, Stage


class Tracer:
    """One rank's part in a request; there is never more than one under way."""

    def __init__(
        self,
        directory: AttemptDirectory,
        world_size: int,
        recorder: Recorder,
        breakdown: Breakdown,
        heartbeat: Heartbeat,
        early_step: int,
    ) -> None:
        """`early_step`: the one whose timeline is kept of every attempt."""
        self._directory, self._folder = directory, directory.trace
        self._path = self._folder / TraceRequest.NAME
        self._world_size, self._recorder, self._breakdown = world_size, recorder, breakdown
        self._heartbeat = heartbeat
        self._drawn = {early_step}  # numbers of the steps whose timelines are kept
        self._stamp = 0
        self._served = 0  # number of the newest served request, which an agent that restarts writes again
        self._asked: TraceRequest | None = None
        self._steps: range | None = None  # numbers of the steps that are traced
        self._profiler: Any = None

    def asked(self) -> float:
        """The number of the request that waits; 0 without one. Costs a stat (2 us)."""
        try:
            stamp = os.stat(self._path).st_mtime_ns
        except OSError:
            return 0.0
        if stamp != self._stamp:
            self._stamp = stamp
            found = self._directory.read_trace_request()
            is_new = found is not None and found.number > self._served and found.steps > 0
            self._asked = found if is_new else None
        return float(self._asked.number) if self._asked and self._steps is None else 0.0

    def agree(self, sum_of_asked: float, done: int) -> None:
        """After the border of step `done`: whether the next one is the first to be traced."""
        asked = self._asked
        if asked and self._steps is None and sum_of_asked == asked.number * self._world_size:
            self._steps = range(done + 1, done + 1 + asked.steps)
            self._drawn |= set(self._steps)

    def is_drawn(self, step: int) -> bool:
        """Whether the step's timeline is kept."""
        return step in self._drawn

    def begin(self, step: int) -> None:
        """Before step number `step`."""
        if (
            self._steps
            and self._asked
            and step == self._steps[0]
            and self._recorder.rank in self._asked.ranks
        ):
            self._heartbeat.beat(step - 1, Stage.LONG)
            self._start()

    def step_done(self, done: int) -> None:
        """Writes the profile after its last step."""
        if self._steps is not None and done >= self._steps[-1]:
            self._heartbeat.beat(done, Stage.LONG)
            self.finish()

    def finish(self) -> None:
        """Also where the run ends in the midst of it."""
        if self._profiler is not None:
            self._write()
        if self._steps is not None and self._asked:
            self._served = self._asked.number
            self._steps = self._asked = None

    def _start(self) -> None:
        kinds = [torch.profiler.ProfilerActivity.CPU]
        if torch.cuda.is_available():
            kinds.append(torch.profiler.ProfilerActivity.CUDA)
        profiler = torch.profiler.profile(activities=kinds)
        try:
            profiler.start()
        except RuntimeError as error:  # another profiler holds the device
            self._refuse(f"could not be started: {error}")
            return
        self._profiler = profiler
        self._breakdown.annotate = torch.profiler.record_function

    def _write(self) -> None:
        assert self._steps is not None and self._asked is not None
        profiler, self._profiler, self._breakdown.annotate = self._profiler, None, None
        began = time.perf_counter()
        name = f"rank{self._recorder.rank}-step{self._steps[0]}-{self._asked.number}.json.gz"
        partial = self._folder / f"part-{name}"  # torch packs what ends in .gz
        try:
            profiler.stop()
            profiler.export_chrome_trace(str(partial))
            size = partial.stat().st_size
            if size > TRACE_BYTES:
                partial.unlink()
                said = (
                    f"has {size / 2**20:.0f} MiB, and {TRACE_BYTES / 2**20:.0f} are kept: ask for fewer steps"
                )
                self._refuse(said)
                return
            os.replace(partial, self._folder / name)
        except (RuntimeError, OSError) as error:
            self._refuse(f"could not be written: {error}")
            return
        self._recorder.trace(self._asked.number, self._steps[0], name, time.perf_counter() - began)

    def _refuse(self, said: str) -> None:
        assert self._asked is not None
        self._recorder.note(f"The trace of rank {self._recorder.rank} {said}.", "warning")
        self._recorder.trace(self._asked.number, 0, "", 0.0)
