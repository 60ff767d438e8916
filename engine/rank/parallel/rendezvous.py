"""Rendezvous of the ranks: the store of rank 0 and the process group over it."""

from __future__ import annotations

import os
import socket
from datetime import timedelta

import torch
from torch import distributed

from engine.directory import Placement, RankSeat
from engine.supervisor.environment import address_family
from engine.supervisor.hang_detection import PEER_TIMEOUT_S

BACKLOG = 2048


def open_process_group(placement: Placement, seat: RankSeat) -> None:
    """Open torch's process group over a store that listens on one address only. Collective."""
    is_bound = (
        seat.device_kind == "cuda" and placement.world_size > 1
    )  # as DeepSpeed does: NCCL connects at once
    distributed.init_process_group(
        get_backend(seat), store=_open_store(placement, seat.rank), rank=seat.rank, world_size=placement.world_size,
        timeout=timedelta(seconds=PEER_TIMEOUT_S),
        device_id=torch.device("cuda", seat.local_rank) if is_bound else None,
    )  # fmt: skip


def get_backend(seat: RankSeat) -> str:
    return "nccl" if seat.device_kind == "cuda" else "gloo"


def _open_store(placement: Placement, rank: int) -> distributed.TCPStore:
    """Connect to the store of rank 0; rank 0 also serves it.

    The store has no authentication, and torch's own listens on every interface. This one listens on the address that
    the other ranks connect to: loopback for ranks of one node, else the node's own address.
    """
    address, port = placement.master_addr, int(os.environ["MASTER_PORT"])
    timeout = timedelta(seconds=PEER_TIMEOUT_S)
    if rank != 0:
        return distributed.TCPStore(address, port, placement.world_size, is_master=False, timeout=timeout)
    with socket.socket(address_family(address), socket.SOCK_STREAM) as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((address, port))
        listener.listen(BACKLOG)
        store = distributed.TCPStore(
            address, port, placement.world_size, is_master=True, timeout=timeout, wait_for_workers=False,
            master_listen_fd=listener.fileno(),
        )  # fmt: skip
        listener.detach()  # closed by the store
    return store
