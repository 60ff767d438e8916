"""How long a payload is on its way between two stages when nobody waits for anybody: measured by ping-pong.

What a send or receive takes beyond that is waiting for the other stage, which is the bubble of the pipeline. The
smallest time seen in steps alone would not do for it: with one micro-batch every receive waits. It corrects a ping-pong
that a busy host has slowed down.
"""

from __future__ import annotations

import time
from collections import defaultdict
from typing import Any

import torch

from engine.rank.parallel.collectives import Payload

ROUNDS = 16  # the fastest counts: a busy host delays some
SMALL_BYTES = 4096  # a collective of so little is a wait for the others, not a transfer


class Transfers:
    """Seconds by payload; nothing is known before `learn`."""

    def __init__(self, rank: int, device: torch.device | str = "cpu") -> None:
        self._rank, self._device = rank, device
        self._seen: dict[int, set[int]] = defaultdict(set)  # peer -> sizes that went to or came from it
        self._seconds: dict[int, float] = {}  # by size
        self._small_s: float | None = None

    def note(self, payload: Payload) -> None:
        if payload.peer is not None and payload.num_bytes:
            self._seen[payload.peer].add(payload.num_bytes)

    def expected_s(self, payload: Payload) -> float | None:
        """Of a send or receive, or of a small collective of all ranks; None where it was never measured."""
        if payload.metric == "send_receive_bytes":
            return self._seconds.get(payload.num_bytes)
        return self._small_s if payload.num_bytes <= SMALL_BYTES else None

    def waited_s(self, payload: Payload, took_s: float) -> float:
        """What `took_s` holds beyond the transfer; 0 for a payload that was never measured."""
        expected_s = self.expected_s(payload)
        if expected_s is None:
            return 0.0
        if payload.num_bytes in self._seconds and payload.peer is not None:
            self._seconds[payload.num_bytes] = min(took_s, expected_s)
        return max(0.0, took_s - expected_s)

    def learn(self, backend: Any) -> None:
        """Play each size that has been seen back and forth with each neighbour, a few milliseconds in all. Collective:
        both ends have seen the same sizes, and neighbours take turns in the order of their ranks."""
        send, recv, reduce = (_unwatched(backend, name) for name in ("send", "recv", "all_reduce"))
        for peer in sorted(self._seen, key=lambda peer: (min(peer, self._rank), max(peer, self._rank))):
            for size in sorted(self._seen[peer]):
                payload = torch.zeros(size, dtype=torch.uint8, device=self._device)
                took_s = min(self._round_s(send, recv, payload, peer) for _ in range(ROUNDS))
                self._seconds[size] = min(took_s, self._seconds.get(size, took_s))
        little = torch.zeros(4, dtype=torch.float64, device=self._device)
        self._small_s = min(self._timed(lambda: reduce(little)) for _ in range(ROUNDS))

    def _round_s(self, send: Any, recv: Any, payload: torch.Tensor, peer: int) -> float:
        """Half of there and back."""

        def there_and_back() -> None:
            first, second = (send, recv) if self._rank < peer else (recv, send)
            for way in (first, second):
                way(payload, peer)

        return self._timed(there_and_back) / 2

    def _timed(self, call: Any) -> float:
        self._settle()
        start = time.perf_counter()
        call()
        self._settle()
        return time.perf_counter() - start

    def _settle(self) -> None:
        """Once in a run, between two steps: here a synchronisation costs nothing."""
        if torch.device(self._device).type == "cuda":
            torch.cuda.synchronize()


def _unwatched(backend: Any, name: str) -> Any:
    collective = getattr(backend, name)
    return getattr(collective, "unwatched", collective)
