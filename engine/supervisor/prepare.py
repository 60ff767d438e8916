"""The wait between PREPARE and COMMIT: this node's devices are held, the other nodes are not ready yet."""

from __future__ import annotations

import contextlib
import socket
import time
from collections.abc import Callable

from engine.directory import AttemptDirectory, Placement
from engine.supervisor.environment import family_of

POLL_S = 0.02


def wait_for_commit(
    directory: AttemptDirectory,
    placement: Placement,
    why_stop: Callable[[], str],
    armed: Callable[[int], None],
) -> Placement:
    """Report that this node is ready, with the port it keeps free if rank 0 sits here, and return the placement with
    the rank map once the agent says 'run'. Returns early, with the map unfinished, when it should stop instead."""
    with contextlib.ExitStack() as kept:
        port = 0
        if any(seat.rank == 0 for seat in placement.seats):
            port = kept.enter_context(_kept_port(placement.address)).getsockname()[1]
        armed(port)
        while directory.read_control() == "prepare" and not why_stop():
            time.sleep(POLL_S)
    return directory.read_placement()


def _kept_port(address: str) -> socket.socket:
    """A bound socket that nobody listens on: its port goes to no other program until rank 0 takes it."""
    keeper = socket.socket(family_of(address), socket.SOCK_STREAM)
    keeper.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    keeper.bind((address, 0))
    return keeper
