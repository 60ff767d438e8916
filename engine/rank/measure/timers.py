"""Timers of a step: host clock on a CPU, CUDA events on a GPU."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from typing import Any, Protocol

import torch


class Timers(Protocol):
    """Records timestamps and returns the seconds between two of them once both are complete."""

    is_device_time: bool  # the timestamps are of the device, so gaps caused by the host are visible

    def record(self) -> Any: ...
    def is_overlapped(self) -> bool:
        """Whether the present work overlaps the computation, so the compute stream does not wait for it."""
        ...

    def is_complete(self, timestamp: Any) -> bool: ...
    def synchronize(self) -> None: ...
    def seconds(self, start: Any, stop: Any) -> float: ...
    def release(self, timestamps: Iterable[Any]) -> None: ...


class HostTimers:
    """Timestamps of the host clock."""

    is_device_time = False

    def record(self) -> float:
        return time.perf_counter()

    def is_overlapped(self) -> bool:
        return False

    def is_complete(self, timestamp: float) -> bool:
        return True

    def synchronize(self) -> None:
        return None

    def seconds(self, start: float, stop: float) -> float:
        return stop - start

    def release(self, timestamps: Iterable[float]) -> None:
        del timestamps


class StreamTimers:
    """CUDA events on the compute stream.

    Events are queried and never waited for, so there is no synchronisation. They are reused, since creating an event
    costs more than recording it.
    """

    is_device_time = True

    def __init__(
        self, make_event: Callable[[], Any] | None = None, stream_now: Callable[[], Any] | None = None
    ) -> None:
        self._make = make_event or (lambda: torch.cuda.Event(enable_timing=True))
        self._stream_now = stream_now or torch.cuda.current_stream
        self._compute_stream = self._stream_now()
        self._free: list[Any] = []

    def record(self) -> Any:
        event = self._free.pop() if self._free else self._make()
        event.record()
        return event

    def is_overlapped(self) -> bool:
        return bool(self._stream_now() != self._compute_stream)

    def is_complete(self, timestamp: Any) -> bool:
        return bool(timestamp.query())

    def synchronize(self) -> None:
        self._compute_stream.synchronize()

    def seconds(self, start: Any, stop: Any) -> float:
        return float(start.elapsed_time(stop)) / 1e3

    def release(self, timestamps: Iterable[Any]) -> None:
        self._free.extend(timestamps)


def build_timers(device_kind: str) -> Timers:
    return StreamTimers() if device_kind == "cuda" else HostTimers()
