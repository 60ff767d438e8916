"""Wait between PREPARE and COMMIT: this node is ready, other nodes are not."""

from __future__ import annotations

import contextlib
import socket
import time
from collections.abc import Callable

from engine.directory import AttemptDirectory, Placement
from engine.supervisor.environment import address_family

POLL_S = 0.02


def wait_for_commit(
    directory: AttemptDirectory,
    placement: Placement,
    stop_reason: Callable[[], str],
    set_prepared: Callable[[int], None],
) -> Placement:
    """Report that this node is prepared, and return the placement with the rank map once the agent writes 'run'.

    On the node of rank 0 the report has a port that is reserved until then. Returns early, with an incomplete rank map,
    if the attempt should stop.
    """
    with contextlib.ExitStack() as stack:
        port = 0
        if any(seat.rank == 0 for seat in placement.seats):
            port = stack.enter_context(_reserve_port(placement.address)).getsockname()[1]
        set_prepared(port)
        while directory.read_control() == "prepare" and not stop_reason():
            time.sleep(POLL_S)
    return directory.read_placement()


def _reserve_port(address: str) -> socket.socket:
    """Reserve a free port for rank 0 by a bound socket that does not listen."""
    reserved = socket.socket(address_family(address), socket.SOCK_STREAM)
    reserved.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    reserved.bind((address, 0))
    return reserved
