"""Breakdown of a step: times of its phases, bytes of its collectives.

The phases add up to the time of the step. Each phase excludes the communication within it. `bubble_s` is the time that
a pipeline stage waits for another stage: beyond the transfer time of a payload (engine.rank.parallel.transfers), and
in the small collectives after its last backward pass, where finished stages wait for the others. Waiting for other
data ranks counts as communication, since a rank cannot separate it from the transfer. `host_gap_s` (GPU only) is the
time between two phases in which the compute stream waits for the host.
"""

from __future__ import annotations

import time
from collections import Counter, deque
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from typing import Any

from engine.rank.measure.timers import Timers
from engine.rank.parallel.collectives import Payload
from engine.rank.parallel.transfers import SMALL_BYTES, TransferTimes
from engine.telemetry.metrics import STEP_PHASES


@dataclass(slots=True)
class Span:
    """A phase, or a wait in a collective with the phase that encloses it."""

    kind: str  # of a phase: its name in the timeline; of a wait: the name of the collective
    phase: str  # the metric that it counts for
    number: int  # number within its kind and step: the micro-batch
    start: Any
    stop: Any = None
    enclosing: Span | None = None
    payload: Payload | None = None


@dataclass
class TimedStep:
    """Spans of one step, kept until its timestamps are complete."""

    number: int
    begin: Any
    began_s: float  # host clock
    began_at: float  # unix time
    step_s: float = 0.0
    end: Any = None
    spans: list[Span] = field(default_factory=list)
    extra_metrics: dict[str, float] = field(default_factory=dict)


class Breakdown:
    """Times the phases and waits of consecutive steps.

    On a GPU the timestamps are CUDA events. A step is read once its last event is complete, which may be a step later,
    so nothing here synchronises.
    """

    def __init__(self, timers: Timers, transfers: TransferTimes | None = None) -> None:
        """`transfers` is given on ranks of a pipeline; without it no bubble is measured."""
        self._timers, self.transfers = timers, transfers
        self.annotate: Callable[[str], AbstractContextManager[Any]] | None = None  # labels phases in a trace
        self._phase: Span | None = None
        self._counts: Counter[str] = Counter()
        self._used_metrics: set[str] = set()  # metrics of the collectives that this rank has used
        self._step = self._new_step()
        self._pending: deque[TimedStep] = deque()

    def _new_step(self) -> TimedStep:
        return TimedStep(0, self._timers.record(), time.perf_counter(), time.time())

    def begin(self) -> None:
        """Begin a step and drop the spans since the last one (validation, checkpoints)."""
        self._release(self._step)
        self._counts.clear()
        self._step = self._new_step()

    @contextmanager
    def phase(self, name: str, kind: str = "") -> Iterator[None]:
        """Time a phase. `name` is one of STEP_PHASES, `kind` its name in the timeline if that is more specific."""
        kind = kind or name.removesuffix("_s")
        span = Span(kind, name, self._counts[kind], self._timers.record())
        self._counts[kind] += 1
        self._phase = span
        try:
            if self.annotate:
                with self.annotate(f"{kind} {span.number}"):
                    yield
            else:
                yield
        finally:
            span.stop = self._timers.record()
            self._step.spans.append(span)
            self._phase = None

    @contextmanager
    def communication(self, payload: Payload) -> Iterator[None]:
        """Time a collective, or only count its bytes if it overlaps the computation."""
        if self.transfers:
            self.transfers.record(payload)
        is_overlapped = self._timers.is_overlapped()
        span = Span(
            payload.name, "communication_s", 0, None if is_overlapped else self._timers.record(), None,
            self._phase, payload,
        )  # fmt: skip
        try:
            yield
        finally:
            if not is_overlapped:
                span.stop = self._timers.record()
            self._step.spans.append(span)

    def end(self, number: int, extra_metrics: dict[str, float] | None = None) -> float:
        """End the step and return its wall time; `pop_completed` returns `extra_metrics` with its metrics."""
        step = self._step
        step.step_s = time.perf_counter() - step.began_s
        step.number, step.end, step.extra_metrics = number, self._timers.record(), extra_metrics or {}
        self._pending.append(step)
        self._step = self._new_step()
        return step.step_s

    def synchronize(self) -> None:
        """Wait for all timestamps; called once, at the end of a run."""
        self._timers.synchronize()

    def pop_completed(self) -> Iterator[tuple[TimedStep, dict[str, float]]]:
        """Yield the steps whose timestamps are complete, in order, with their metrics."""
        while self._pending and self._timers.is_complete(self._pending[0].end):
            step = self._pending.popleft()
            yield step, self.compute_metrics(step) | step.extra_metrics
            self._release(step)

    def compute_metrics(self, step: TimedStep) -> dict[str, float]:
        """Return the seconds of each phase, which add up to step_s, and the bytes in total and by collective."""
        spent = {name: 0.0 for name in STEP_PHASES if self._is_measured(name)}
        num_bytes: Counter[str] = Counter()
        for span in step.spans:
            if span.payload and span.payload.metric:
                num_bytes[span.payload.metric] += span.payload.num_bytes
            if span.start is None:
                continue  # overlapped: the computation did not wait
            seconds, waited_s = self.seconds(span), self.waited_s(step, span)
            spent[span.phase] += seconds - waited_s
            if waited_s:
                spent["bubble_s"] += waited_s
            if span.enclosing is not None:
                spent[span.enclosing.phase] -= seconds
        if self._timers.is_device_time:
            spent["host_gap_s"] = self._gaps_s(step)
        spent["other_s"] = max(0.0, step.step_s - sum(spent.values()))
        total = float(sum(num_bytes.values()))
        # A collective that this step did not use has 0 bytes; one that no step has used so far is left out.
        self._used_metrics |= {name for name, count in num_bytes.items() if count}
        by_kind = {name: float(num_bytes[name]) for name in self._used_metrics}
        return spent | by_kind | {"collective_bytes": total, "collective_bytes_per_s": total / step.step_s}

    def seconds(self, span: Span) -> float:
        return self._timers.seconds(span.start, span.stop)

    def offset_s(self, step: TimedStep, timestamp: Any) -> float:
        return self._timers.seconds(step.begin, timestamp)

    def waited_s(self, step: TimedStep, span: Span) -> float:
        """Return the part of a wait in which another stage was not ready; 0 if that is unknown."""
        if self.transfers is None or span.payload is None:
            return 0.0
        is_exchange = span.payload.metric == "send_receive_bytes"
        if not is_exchange and not (span.payload.num_bytes <= SMALL_BYTES and _is_after_backward(step, span)):
            return 0.0
        return self.transfers.waited_s(span.payload, self.seconds(span))

    def measure_transfers(self, backend: Any) -> None:
        """Measure the transfer times of the first step's payloads, before that step is read. Collective."""
        if self.transfers:
            self.transfers.measure(backend)

    def _is_measured(self, phase: str) -> bool:
        if phase == "bubble_s":
            return self.transfers is not None
        return phase != "host_gap_s" or self._timers.is_device_time

    def _gaps_s(self, step: TimedStep) -> float:
        """Return the sum of the gaps between the begin of the step, its phases, and its waits outside phases."""
        outer = [span for span in step.spans if span.enclosing is None and span.start is not None]
        stops = [step.begin, *(span.stop for span in outer)]
        return sum(
            max(0.0, self._timers.seconds(stop, span.start)) for stop, span in zip(stops, outer, strict=False)
        )

    def _release(self, step: TimedStep) -> None:
        timestamps = [step.begin, step.end]
        for span in step.spans:
            timestamps += (span.start, span.stop)
        self._timers.release(one for one in timestamps if one is not None)


def _is_after_backward(step: TimedStep, span: Span) -> bool:
    """Whether the span is after the last backward pass, when this stage has nothing left to send.

    The reduction of the last backward pass waits for other data ranks and does not count.
    """
    if span.enclosing is not None and span.enclosing.kind == "reduce":
        return False
    last = max((at for at, one in enumerate(step.spans) if one.kind == "backward"), default=None)
    return last is not None and any(one is span for one in step.spans[last:])
