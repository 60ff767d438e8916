"""Forks the ranks of attempt directories named on stdin, without a supervisor.

Prints for each directory one line with the pids of the ranks, then one line with their exit codes, both as JSON.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import time
from pathlib import Path

import msgspec

from engine.directory import EXIT_STOPPED, AttemptDirectory, RankSeat
from engine.rank.run.forkserver import _become_rank, preload
from engine.supervisor.environment import free_port, rank_environment
from engine.supervisor.spawn import Spawn, rank_log_path, start_child
from tests.engine.rank import injection
from tests.engine.rank.attempts import ATTEMPT_LIMIT_S

LOST_PEER_S = 2.0  # time for the other ranks to end after one has failed


def main() -> None:
    preload("cpu")
    _print_json("ready")
    for line in sys.stdin:
        directory = AttemptDirectory(Path(line.rstrip("\n")))
        placement = directory.read_placement()
        placement = msgspec.structs.replace(placement, master_port=free_port(placement.master_addr))
        spawn, tag = _spawn(directory), str(directory.path)
        pids = [spawn(seat, rank_environment(tag, placement, seat)) for seat in placement.seats]
        _print_json(pids)
        _print_json(_wait(pids))


def _spawn(directory: AttemptDirectory) -> Spawn:
    """Return a spawn function as in the fork server, with the injections of the test."""

    def spawn(seat: RankSeat, environment: dict[str, str]) -> int:
        def body() -> None:
            injection.apply(directory.path, seat.rank)
            _become_rank(directory, seat.rank, environment)

        return start_child(rank_log_path(directory, seat.rank), body)

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


def _print_json(answer: object) -> None:
    sys.stdout.write(json.dumps(answer) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
