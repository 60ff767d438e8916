"""Traces of steps on request, written by torch's profiler (Kineto).

A request is a file in the trace/ folder of the attempt; polling it at each step boundary costs one stat. On several
nodes the file does not appear at the same moment, so every rank adds the number of its request to the all-reduce of
the step boundary. Tracing starts with the next step once all ranks have the same request. All ranks record the
timelines of these steps; the requested ranks also write a trace.
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
    """Serves trace requests on one rank, one at a time."""

    def __init__(
        self,
        directory: AttemptDirectory,
        world_size: int,
        recorder: Recorder,
        breakdown: Breakdown,
        heartbeat: Heartbeat,
        early_step: int,
    ) -> None:
        """`early_step` is the step whose timeline every attempt records."""
        self._directory, self._folder = directory, directory.trace
        self._path = self._folder / TraceRequest.NAME
        self._world_size, self._recorder, self._breakdown = world_size, recorder, breakdown
        self._heartbeat = heartbeat
        self._timeline_steps = {early_step}  # numbers of the steps whose timelines are recorded
        self._file_time_ns = 0
        self._served = (
            0  # number of the newest served request; a restarted agent writes the same request again
        )
        self._request: TraceRequest | None = None
        self._steps: range | None = None  # numbers of the traced steps
        self._profiler: Any = None

    def poll_request(self) -> float:
        """Return the number of the pending request, 0 if there is none. Costs one stat (2 us)."""
        try:
            file_time_ns = os.stat(self._path).st_mtime_ns
        except OSError:
            return 0.0
        if file_time_ns != self._file_time_ns:
            self._file_time_ns = file_time_ns
            found = self._directory.read_trace_request()
            is_new = found is not None and found.number > self._served and found.steps > 0
            self._request = found if is_new else None
        return float(self._request.number) if self._request and self._steps is None else 0.0

    def agree(self, sum_of_requests: float, done: int) -> None:
        """Start tracing with the step after `done` if all ranks have the request (sum over the ranks)."""
        request = self._request
        if request and self._steps is None and sum_of_requests == request.number * self._world_size:
            self._steps = range(done + 1, done + 1 + request.steps)
            self._timeline_steps |= set(self._steps)

    def has_timeline(self, step: int) -> bool:
        """Whether the timeline of the step is recorded."""
        return step in self._timeline_steps

    def begin_step(self, step: int) -> None:
        """Start the profiler before the first traced step, on the requested ranks."""
        if (
            self._steps
            and self._request
            and step == self._steps[0]
            and self._recorder.rank in self._request.ranks
        ):
            self._heartbeat.beat(step - 1, Stage.LONG)
            self._start()

    def end_step(self, done: int) -> None:
        """Write the trace after the last traced step."""
        if self._steps is not None and done >= self._steps[-1]:
            self._heartbeat.beat(done, Stage.LONG)
            self.finish()

    def finish(self) -> None:
        """Write an open trace and close the request; also called if the run ends during a request."""
        if self._profiler is not None:
            self._write()
        if self._steps is not None and self._request:
            self._served = self._request.number
            self._steps = self._request = None

    def _start(self) -> None:
        kinds = [torch.profiler.ProfilerActivity.CPU]
        if torch.cuda.is_available():
            kinds.append(torch.profiler.ProfilerActivity.CUDA)
        profiler = torch.profiler.profile(activities=kinds)
        try:
            profiler.start()
        except RuntimeError as error:  # another profiler holds the device
            self._record_failure(f"could not be started: {error}")
            return
        self._profiler = profiler
        self._breakdown.annotate = torch.profiler.record_function

    def _write(self) -> None:
        assert self._steps is not None and self._request is not None
        profiler, self._profiler, self._breakdown.annotate = self._profiler, None, None
        began = time.perf_counter()
        name = f"rank{self._recorder.rank}-step{self._steps[0]}-{self._request.number}.json.gz"
        partial = self._folder / f"part-{name}"  # torch compresses files that end in .gz
        try:
            profiler.stop()
            profiler.export_chrome_trace(str(partial))
            size = partial.stat().st_size
            if size > TRACE_BYTES:
                partial.unlink()
                size_mib, limit_mib = size / 2**20, TRACE_BYTES / 2**20
                self._record_failure(
                    f"has {size_mib:.0f} MiB; the limit is {limit_mib:.0f}. Trace fewer steps"
                )
                return
            os.replace(partial, self._folder / name)
        except (RuntimeError, OSError) as error:
            self._record_failure(f"could not be written: {error}")
            return
        self._recorder.trace(self._request.number, self._steps[0], name, time.perf_counter() - began)

    def _record_failure(self, reason: str) -> None:
        assert self._request is not None
        self._recorder.note(f"The trace of rank {self._recorder.rank} {reason}.", "warning")
        self._recorder.trace(self._request.number, 0, "", 0.0)
