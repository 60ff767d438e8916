"""Moments of a step: host times on a CPU, events of the compute stream on a GPU."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from typing import Any, Protocol

import torch


class Marks(Protocol):
    """Makes moments, and tells the time between two of them once both are past."""

    is_of_stream: bool  # the device's own time, in which gaps of the host can be seen

    def take(self) -> Any: ...
    def is_overlapped(self) -> bool:
        """Whether what is marked now runs beside the computation, so that nothing waits for it here."""
        ...

    def is_past(self, mark: Any) -> bool: ...
    def settle(self) -> None: ...
    def seconds(self, start: Any, stop: Any) -> float: ...
    def give_back(self, marks: Iterable[Any]) -> None: ...


class HostMarks:
    is_of_stream = False

    def take(self) -> float:
        return time.perf_counter()

    def is_overlapped(self) -> bool:
        return False

    def is_past(self, mark: float) -> bool:
        return True

    def settle(self) -> None:
        return None

    def seconds(self, start: float, stop: float) -> float:
        return stop - start

    def give_back(self, marks: Iterable[float]) -> None:
        del marks


class StreamMarks:
    """Events are recorded in the order of the compute stream and asked, never waited for: no synchronisation. They
    are used again, since making one costs more than recording it."""

    is_of_stream = True

    def __init__(
        self, make_event: Callable[[], Any] | None = None, stream_now: Callable[[], Any] | None = None
    ) -> None:
        self._make = make_event or (lambda: torch.cuda.Event(enable_timing=True))
        self._stream_now = stream_now or torch.cuda.current_stream
        self._compute_stream = self._stream_now()
        self._free: list[Any] = []

    def take(self) -> Any:
        event = self._free.pop() if self._free else self._make()
        event.record()
        return event

    def is_overlapped(self) -> bool:
        return bool(self._stream_now() != self._compute_stream)

    def is_past(self, mark: Any) -> bool:
        return bool(mark.query())

    def settle(self) -> None:
        self._compute_stream.synchronize()

    def seconds(self, start: Any, stop: Any) -> float:
        return float(start.elapsed_time(stop)) / 1e3

    def give_back(self, marks: Iterable[Any]) -> None:
        self._free.extend(marks)


def marks_of(device_kind: str) -> Marks:
    return StreamMarks() if device_kind == "cuda" else HostMarks()
