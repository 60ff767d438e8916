"""Where the time of a step goes, and how many bytes its collectives carry."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor

from engine.telemetry.metrics import STEP_PHASES

# Collectives of DeepSpeed's communication backend -> name and place of the argument that holds the payload.
PAYLOADS: dict[str, tuple[str, int] | None] = {
    "all_reduce": ("tensor", 0),
    "all_reduce_coalesced": ("tensors", 0),
    "reduce": ("tensor", 0),
    "broadcast": ("tensor", 0),
    "all_gather": ("tensor", 1),
    "all_gather_into_tensor": ("input_tensor", 1),
    "all_gather_coalesced": ("input_tensors", 1),
    "reduce_scatter": ("input_list", 1),
    "reduce_scatter_tensor": ("input_tensor", 1),
    "all_to_all_single": ("input", 1),
    "send": ("tensor", 0),
    "recv": ("tensor", 0),
    "barrier": None,
}


class Breakdown:
    """Phases of one step after the other, each without the communication inside it.

    On a CPU marks are host times. On CUDA they are events on the compute stream: a synchronous collective
    makes that stream wait, so the marks around it span the exposed part only. Events are read at the step's end,
    after the loss has been read, which the loop does anyway: no synchronisation is added.
    """

    def __init__(self, device_kind: str) -> None:
        self._on_cuda = device_kind == "cuda"
        self._mark: Callable[[], Any] = _cuda_event if self._on_cuda else time.perf_counter
        self._phases: list[tuple[str, Any, Any]] = []
        self._waits: list[tuple[str | None, Any, Any]] = []
        self._phase: str | None = None
        self._bytes = 0
        self._began = 0.0

    def begin(self) -> None:
        """A step starts here; what was marked since the last one (validation, checkpoints) is forgotten."""
        self._phases.clear()
        self._waits.clear()
        self._bytes = 0
        self._began = time.perf_counter()

    @contextmanager
    def phase(self, name: str) -> Iterator[None]:
        self._phase, start = name, self._mark()
        try:
            yield
        finally:
            self._phases.append((name, start, self._mark()))
            self._phase = None

    @contextmanager
    def communication(self, payload_bytes: int) -> Iterator[None]:
        self._bytes += payload_bytes
        start = self._mark()
        try:
            yield
        finally:
            self._waits.append((self._phase, start, self._mark()))

    def end(self) -> tuple[float, dict[str, float]]:
        """step_s, and by metric name: the six times, which add up to step_s, and the payload."""
        step_s = time.perf_counter() - self._began
        spent = dict.fromkeys(STEP_PHASES, 0.0)
        for name, start, stop in self._phases:
            spent[name] += self._seconds(start, stop)
        for inside, start, stop in self._waits:
            seconds = self._seconds(start, stop)
            spent["communication_s"] += seconds
            if inside is not None:
                spent[inside] -= seconds
        spent["other_s"] = max(0.0, step_s - sum(spent.values()))
        return step_s, spent | {
            "collective_bytes": float(self._bytes),
            "collective_bytes_per_s": self._bytes / step_s,
        }

    def _seconds(self, start: Any, stop: Any) -> float:
        return start.elapsed_time(stop) / 1e3 if self._on_cuda else stop - start

    def watch_collectives(self, backend: Any) -> None:
        """Time and count every collective that goes through DeepSpeed's backend object (deepspeed.comm.comm.cdb),
        which all of DeepSpeed 0.19.8's engines use."""
        for name, payload in PAYLOADS.items():
            setattr(backend, name, self._watched(getattr(backend, name), payload))

    def _watched(self, collective: Callable[..., Any], payload: tuple[str, int] | None) -> Callable[..., Any]:
        def call(*args: Any, **kwargs: Any) -> Any:
            with self.communication(_bytes_of(payload, args, kwargs)):
                work = collective(*args, **kwargs)
            return work if work is None else _WatchedWork(work, self)

        return call


class _WatchedWork:
    """A handle of an asynchronous collective whose wait counts as communication."""

    def __init__(self, work: Any, breakdown: Breakdown) -> None:
        self._work, self._breakdown = work, breakdown

    def wait(self, *args: Any) -> Any:
        with self._breakdown.communication(0):
            return self._work.wait(*args)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._work, name)


def _bytes_of(payload: tuple[str, int] | None, args: tuple[Any, ...], kwargs: dict[str, Any]) -> int:
    if payload is None:
        return 0
    name, place = payload
    held = kwargs[name] if name in kwargs else args[place]
    tensors: list[Tensor] = [held] if isinstance(held, Tensor) else held
    return sum(tensor.numel() * tensor.element_size() for tensor in tensors)


def _cuda_event() -> Any:
    event = torch.cuda.Event(enable_timing=True)
    event.record()
    return event
