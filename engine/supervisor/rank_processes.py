"""Rank processes of one attempt: start, reap, terminate, kill."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable

from engine.directory import STEP_BOUNDARY_EXITS, Placement, RankExit, RankSeat
from engine.supervisor.cleanup import reap_children
from engine.supervisor.root_cause import UnexpectedExit
from engine.supervisor.spawn import Spawn


class RankProcesses:
    """The rank processes of this node. If one ends unexpectedly, all end."""

    def __init__(self) -> None:
        self.ranks: dict[int, RankExit] = {}
        self.unexpected_exits: list[
            UnexpectedExit
        ] = []  # without a signal of the supervisor, in the order seen
        self._sent: dict[int, set[int]] = {}

    def start(
        self, placement: Placement, spawn: Spawn, environment: Callable[[RankSeat], dict[str, str]]
    ) -> None:
        for seat in placement.seats:
            self.ranks[seat.rank] = RankExit(seat.rank, spawn(seat, environment(seat)))
            self._sent[seat.rank] = set()

    @property
    def alive(self) -> list[RankExit]:
        return [rank for rank in self.ranks.values() if rank.exit_code is None]

    @property
    def exits(self) -> tuple[RankExit, ...]:
        return tuple(self.ranks.values())

    @property
    def exit_codes(self) -> set[int | None]:
        return {rank.exit_code for rank in self.ranks.values()}

    @property
    def was_killed(self) -> bool:
        """Whether a rank was killed because it did not stop on request."""
        return any(rank.exit_code == -signal.SIGKILL and self._was_signalled(rank) for rank in self.exits)

    @property
    def is_broken(self) -> bool:
        """Whether a rank ended before the end or a step boundary, so that the others wait for it for ever."""
        return any(code not in (None, *STEP_BOUNDARY_EXITS) for code in self.exit_codes)

    def reap(self) -> None:
        """Record every rank that has ended since the last call."""
        by_pid = {rank.pid: rank.rank for rank in self.alive}
        for pid, exit_code in reap_children():
            if pid not in by_pid:
                continue  # an orphan of a rank
            ended = self.ranks[by_pid[pid]] = RankExit(by_pid[pid], pid, exit_code)
            if exit_code not in STEP_BOUNDARY_EXITS and not self._was_signalled(ended):
                self.unexpected_exits.append(UnexpectedExit(ended.rank, exit_code, time.monotonic()))

    def terminate(self) -> None:
        """Send SIGTERM to each rank, not to its children: the ranks stop at the next step boundary."""
        for rank in self.alive:
            self._send(rank, signal.SIGTERM)

    def kill(self) -> None:
        """Send SIGKILL to every rank and its process group."""
        for rank in self.alive:
            self._send(rank, signal.SIGKILL)

    def _send(self, rank: RankExit, number: signal.Signals) -> None:
        if number in self._sent[rank.rank]:
            return
        self._sent[rank.rank].add(number)
        # Not reaped yet, so the pid is still this rank's.
        is_leader = number == signal.SIGKILL and os.getpgid(rank.pid) == rank.pid
        (os.killpg if is_leader else os.kill)(rank.pid, number)

    def _was_signalled(self, rank: RankExit) -> bool:
        return rank.exit_code is not None and -rank.exit_code in self._sent[rank.rank]
