"""Transfer times between pipeline stages, measured by ping-pong.

Time of a send or receive beyond the transfer time is waiting for the other stage: the bubble of the pipeline. The
shortest time seen in steps cannot replace the ping-pong, since with one micro-batch every receive waits; but it
corrects a ping-pong that a busy host has slowed down.
"""

from __future__ import annotations

import time
from collections import defaultdict
from typing import Any

import torch

from engine.rank.parallel.collectives import Payload

ROUNDS = 16  # the fastest one counts, since a busy host delays some
SMALL_BYTES = 4096  # a collective of at most this size is counted as a wait, not as a transfer


class TransferTimes:
    """Seconds by payload; empty before `measure`."""

    def __init__(self, rank: int, device: torch.device | str = "cpu") -> None:
        self._rank, self._device = rank, device
        self._sizes_by_peer: dict[int, set[int]] = defaultdict(set)  # sizes sent to or received from a peer
        self._seconds_by_size: dict[int, float] = {}
        self._small_s: float | None = None

    def record(self, payload: Payload) -> None:
        if payload.peer is not None and payload.num_bytes:
            self._sizes_by_peer[payload.peer].add(payload.num_bytes)

    def expected_s(self, payload: Payload) -> float | None:
        """Return the transfer time of a send, a receive, or a small collective of all ranks; None if unknown."""
        if payload.metric == "send_receive_bytes":
            return self._seconds_by_size.get(payload.num_bytes)
        return self._small_s if payload.num_bytes <= SMALL_BYTES else None

    def waited_s(self, payload: Payload, took_s: float) -> float:
        """Return the part of `took_s` beyond the transfer time; 0 if that is unknown."""
        expected_s = self.expected_s(payload)
        if expected_s is None:
            return 0.0
        if payload.num_bytes in self._seconds_by_size and payload.peer is not None:
            self._seconds_by_size[payload.num_bytes] = min(took_s, expected_s)
        return max(0.0, took_s - expected_s)

    def measure(self, backend: Any) -> None:
        """Measure every recorded size with every peer, in a few milliseconds in all.

        Collective: both ends have recorded the same sizes, and peers are measured in the order of their ranks.
        """
        send, recv, reduce = (_uninstrumented(backend, name) for name in ("send", "recv", "all_reduce"))
        for peer in sorted(
            self._sizes_by_peer, key=lambda peer: (min(peer, self._rank), max(peer, self._rank))
        ):
            for size in sorted(self._sizes_by_peer[peer]):
                payload = torch.zeros(size, dtype=torch.uint8, device=self._device)
                took_s = min(self._one_way_s(send, recv, payload, peer) for _ in range(ROUNDS))
                self._seconds_by_size[size] = min(took_s, self._seconds_by_size.get(size, took_s))
        small = torch.zeros(4, dtype=torch.float64, device=self._device)
        self._small_s = min(self._time_call(lambda: reduce(small)) for _ in range(ROUNDS))

    def _one_way_s(self, send: Any, recv: Any, payload: torch.Tensor, peer: int) -> float:
        """Return half the time of one round trip."""

        def ping_pong() -> None:
            first, second = (send, recv) if self._rank < peer else (recv, send)
            for way in (first, second):
                way(payload, peer)

        return self._time_call(ping_pong) / 2

    def _time_call(self, call: Any) -> float:
        self._synchronize()
        start = time.perf_counter()
        call()
        self._synchronize()
        return time.perf_counter() - start

    def _synchronize(self) -> None:
        """Synchronize the device; this happens once per run, between two steps."""
        if torch.device(self._device).type == "cuda":
            torch.cuda.synchronize()


def _uninstrumented(backend: Any, name: str) -> Any:
    collective = getattr(backend, name)
    return getattr(collective, "uninstrumented", collective)
