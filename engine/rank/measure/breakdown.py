"""Where the time of a step goes: its phases, which add up to it, and how many bytes its collectives carry.

A phase is what its name says without the communication inside it. `bubble_s` is the time in which a stage of a
pipeline waits for another: beyond the transfer time of the payload (engine.rank.parallel.transfers),
and in the small collectives after its last backward, in which the stages that are done wait for those that are not.
Waiting for other data ranks is communication: no rank knows by itself how much of it is transfer. `host_gap_s`, on a
GPU only, is what the compute stream spends between two phases, with nothing but the host to wait for.
"""

from __future__ import annotations

import time
from collections import Counter, deque
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from typing import Any

from engine.rank.measure.timers import Marks
from engine.rank.parallel.collectives import Payload
from engine.rank.parallel.transfers import SMALL_BYTES, Transfers
from engine.telemetry.metrics import STEP_PHASES


@dataclass(slots=True)
class Span:
    """A phase, or a wait in a collective; `inside` is the phase around a wait."""

    kind: str  # of a phase: what the timeline calls it; of a wait: the collective's name
    phase: str  # the metric to which it counts
    number: int  # of its kind in the step: the micro-batch
    start: Any
    stop: Any = None
    inside: Span | None = None
    payload: Payload | None = None


@dataclass
class Step:
    """One step's spans, until its marks are past."""

    number: int
    begin: Any
    began_s: float  # host clock
    began_at: float  # unix time
    step_s: float = 0.0
    end: Any = None
    spans: list[Span] = field(default_factory=list)
    beside: dict[str, float] = field(default_factory=dict)


class Breakdown:
    """Marks the phases and waits of one step after the other. On a GPU the marks are events, and a step is read when
    its last one is past, be that a step later: nothing here synchronises."""

    def __init__(self, marks: Marks, transfers: Transfers | None = None) -> None:
        """`transfers`: of a pipeline's rank; without, there is no bubble to measure."""
        self._marks, self.transfers = marks, transfers
        self.annotate: Callable[[str], AbstractContextManager[Any]] | None = (
            None  # names the phases in a profile
        )
        self._phase: Span | None = None
        self._counts: Counter[str] = Counter()
        self._kinds: set[str] = set()  # metrics of the collectives that this rank has used
        self._step = self._new_step()
        self._ended: deque[Step] = deque()

    def _new_step(self) -> Step:
        return Step(0, self._marks.take(), time.perf_counter(), time.time())

    def begin(self) -> None:
        """A step starts here; what was marked since the last one (validation, checkpoints) is forgotten."""
        self._give_back(self._step)
        self._counts.clear()
        self._step = self._new_step()

    @contextmanager
    def phase(self, name: str, kind: str = "") -> Iterator[None]:
        """`name`: one of STEP_PHASES; `kind`: what the timeline calls it, where that is more than the phase."""
        kind = kind or name.removesuffix("_s")
        span = Span(kind, name, self._counts[kind], self._marks.take())
        self._counts[kind] += 1
        self._phase = span
        try:
            if self.annotate:
                with self.annotate(f"{kind} {span.number}"):
                    yield
            else:
                yield
        finally:
            span.stop = self._marks.take()
            self._step.spans.append(span)
            self._phase = None

    @contextmanager
    def communication(self, payload: Payload) -> Iterator[None]:
        if self.transfers:
            self.transfers.note(payload)
        is_overlapped = self._marks.is_overlapped()
        span = Span(
            payload.name, "communication_s", 0, None if is_overlapped else self._marks.take(), None,
            self._phase, payload,
        )  # fmt: skip
        try:
            yield
        finally:
            if not is_overlapped:
                span.stop = self._marks.take()
            self._step.spans.append(span)

    def end(self, number: int, beside: dict[str, float] | None = None) -> float:
        """The step is done; its wall time. `beside`: other metrics of this moment, which `finished` gives with it."""
        step = self._step
        step.step_s = time.perf_counter() - step.began_s
        step.number, step.end, step.beside = number, self._marks.take(), beside or {}
        self._ended.append(step)
        self._step = self._new_step()
        return step.step_s

    def settle(self) -> None:
        """Wait for all marks, once, when the run is over."""
        self._marks.settle()

    def finished(self) -> Iterator[tuple[Step, dict[str, float]]]:
        """Steps whose marks are past, in order, each with its metrics."""
        while self._ended and self._marks.is_past(self._ended[0].end):
            step = self._ended.popleft()
            yield step, self.metrics_of(step) | step.beside
            self._give_back(step)

    def metrics_of(self, step: Step) -> dict[str, float]:
        """The phases, which add up to step_s, and the payload, in all and by collective."""
        spent = {name: 0.0 for name in STEP_PHASES if self._has(name)}
        carried: Counter[str] = Counter()
        for span in step.spans:
            if span.payload and span.payload.metric:
                carried[span.payload.metric] += span.payload.num_bytes
            if span.start is None:
                continue  # beside the computation, which did not wait
            seconds, waited_s = self.seconds(span), self.waited_s(step, span)
            spent[span.phase] += seconds - waited_s
            if waited_s:
                spent["bubble_s"] += waited_s
            if span.inside is not None:
                spent[span.inside.phase] -= seconds
        if self._marks.is_of_stream:
            spent["host_gap_s"] = self._gaps_s(step)
        spent["other_s"] = max(0.0, step.step_s - sum(spent.values()))
        total = float(sum(carried.values()))
        # A kind that a step did not use carried nothing; one that no step has used so far is left out.
        self._kinds |= {name for name, count in carried.items() if count}
        by_kind = {name: float(carried[name]) for name in self._kinds}
        return spent | by_kind | {"collective_bytes": total, "collective_bytes_per_s": total / step.step_s}

    def seconds(self, span: Span) -> float:
        return self._marks.seconds(span.start, span.stop)

    def since_begin_s(self, step: Step, mark: Any) -> float:
        return self._marks.seconds(step.begin, mark)

    def waited_s(self, step: Step, span: Span) -> float:
        """The part of a wait in which another stage was not ready; 0 where that cannot be told."""
        if self.transfers is None or span.payload is None:
            return 0.0
        is_exchange = span.payload.metric == "send_receive_bytes"
        if not is_exchange and not (span.payload.num_bytes <= SMALL_BYTES and _is_after_backward(step, span)):
            return 0.0
        return self.transfers.waited_s(span.payload, self.seconds(span))

    def learn(self, backend: Any) -> None:
        """What the payloads of the first step take when nobody waits; before `finished` gives that step. Collective."""
        if self.transfers:
            self.transfers.learn(backend)

    def _has(self, phase: str) -> bool:
        if phase == "bubble_s":
            return self.transfers is not None
        return phase != "host_gap_s" or self._marks.is_of_stream

    def _gaps_s(self, step: Step) -> float:
        """Between the step's begin, its phases and its waits outside of them."""
        outer = [span for span in step.spans if span.inside is None and span.start is not None]
        stops = [step.begin, *(span.stop for span in outer)]
        return sum(
            max(0.0, self._marks.seconds(stop, span.start)) for stop, span in zip(stops, outer, strict=False)
        )

    def _give_back(self, step: Step) -> None:
        marks = [step.begin, step.end]
        for span in step.spans:
            marks += (span.start, span.stop)
        self._marks.give_back(mark for mark in marks if mark is not None)


def _is_after_backward(step: Step, span: Span) -> bool:
    """Whether this stage had nothing left to pass on by then: the waits of its last backward's reduction, which are for
    other data ranks, come before the optimiser's."""
    if span.inside is not None and span.inside.kind == "reduce":
        return False
    last = max((at for at, one in enumerate(step.spans) if one.kind == "backward"), default=None)
    return last is not None and any(one is span for one in step.spans[last:])
