"""Forks the ranks of attempt directories named on stdin, as the fork server's supervisors do, but without one.

For each directory: one line with the ranks' pids, then one with their exit codes, both as JSON.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import time
from pathlib import Path

import msgspec

from engine.directory import EXIT_STOPPED, AttemptDirectory, Seat
from engine.rank.run.forkserver import _be_rank, preload
from engine.supervisor.environment import free_port, rank_environment
from engine.supervisor.spawn import Spawn, rank_log, start_child
from tests.engine.rank import injection
from tests.engine.rank.attempts import ATTEMPT_LIMIT_S

LOST_PEER_S = 2.0  # what the others get once one has failed


def main() -> None:
    preload("cpu")
    _say("ready")
    for line in sys.stdin:
        directory = AttemptDirectory(Path(line.rstrip("\n")))
        placement = directory.read_placement()
        placement = msgspec.structs.replace(placement, master_port=free_port(placement.master_addr))
        spawn, tag = _spawn(directory), str(directory.path)
        pids = [spawn(seat, rank_environment(tag, placement, seat)) for seat in placement.seats]
        _say(pids)
        _say(_wait(pids))


def _spawn(directory: AttemptDirectory) -> Spawn:
    """As the product's fork server forks a rank, with what a test wants it to be slow in."""

    def spawn(seat: Seat, environment: dict[str, str]) -> int:
        def body() -> None:
            injection.apply(directory.path, seat.rank)
            _be_rank(directory, seat.rank, environment)

        return start_child(rank_log(directory, seat.rank), body)

    return spawn


def _wait(pids: list[int]) -> list[int]:
    codes: dict[int, int] = {}
    kill_at = time.monotonic() + ATTEMPT_LIMIT_S
    while len(codes) < len(pids):
        pid, status = os.waitpid(-1, os.WNOHANG)
        if pid == 0:
            time.sleep(0.005)
        else:
            codes[pid] = os.waitstatus_to_exitcode(status)
            if codes[pid] not in (0, EXIT_STOPPED):
                kill_at = min(kill_at, time.monotonic() + LOST_PEER_S)
        if time.monotonic() > kill_at:
            for alive in set(pids) - set(codes):
                os.kill(alive, signal.SIGKILL)
    return [codes[pid] for pid in pids]


def _say(answer: object) -> None:
    sys.stdout.write(json.dumps(answer) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
