"""Collectives of our own over send and receive, for the fabric test: ring, tree, parameter server, fully connected.

Legend: x [S] the rank's own values, flat; in the end the sum over all n ranks stands in it.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch import distributed as dist


class Wire:
    """Send and receive between ranks; counts the bytes that this rank sends."""

    def __init__(self, rank: int, size: int) -> None:
        self.rank, self.size = rank, size
        self.sent_bytes = 0

    def swap(self, sends: list[tuple[int, Tensor]], receives: list[tuple[int, Tensor]]) -> None:
        """All at once, so that no two ranks wait for each other; returns when all of them are done."""
        self.sent_bytes += sum(x.numel() * x.element_size() for _, x in sends)
        ops = [dist.P2POp(dist.isend, x, to) for to, x in sends if x.numel()]
        ops += [dist.P2POp(dist.irecv, x, source) for source, x in receives if x.numel()]
        for work in dist.batch_isend_irecv(ops) if ops else []:
            work.wait()

    def send(self, to: int, x: Tensor) -> None:
        self.swap([(to, x)], [])

    def receive(self, source: int, x: Tensor) -> None:
        self.swap([], [(source, x)])


def ring(wire: Wire, x: Tensor) -> None:
    """n-1 rounds in which sums travel round, n-1 in which they are handed on (Patarasuk and Yuan 2009)."""
    n, me, pieces = wire.size, wire.rank, list(x.tensor_split(wire.size))
    right, left = (me + 1) % n, (me - 1) % n
    for number in range(n - 1):
        mine, theirs = pieces[(me - number) % n], pieces[(me - number - 1) % n]
        got = torch.empty_like(theirs)
        wire.swap([(right, mine)], [(left, got)])
        theirs += got
    for number in range(n - 1):
        wire.swap([(right, pieces[(me + 1 - number) % n])], [(left, pieces[(me - number) % n])])


def tree(wire: Wire, x: Tensor) -> None:
    """A binomial tree up to rank 0, and the same tree back down."""
    n, me, got, gap = wire.size, wire.rank, torch.empty_like(x), 1
    while gap < n:
        if me % (2 * gap) == gap:
            wire.send(me - gap, x)
        elif me % (2 * gap) == 0 and me + gap < n:
            wire.receive(me + gap, got)
            x += got
        gap *= 2
    while gap > 1:
        gap //= 2
        if me % (2 * gap) == 0 and me + gap < n:
            wire.send(me + gap, x)
        elif me % (2 * gap) == gap:
            wire.receive(me - gap, x)


def server(wire: Wire, x: Tensor) -> None:
    """Rank 0 is the parameter server."""
    if wire.rank:
        wire.send(0, x)
        wire.receive(0, x)
        return
    got = [torch.empty_like(x) for _ in range(1, wire.size)]
    wire.swap([], [(rank, one) for rank, one in enumerate(got, start=1)])
    for one in got:
        x += one
    wire.swap([(rank, x) for rank in range(1, wire.size)], [])


def full(wire: Wire, x: Tensor) -> None:
    """Every rank has a link to every other: piece r is added up on rank r, which sends it to all."""
    n, me, pieces = wire.size, wire.rank, list(x.tensor_split(wire.size))
    others, own = [rank for rank in range(n) if rank != me], pieces[me]
    got = [torch.empty_like(own) for _ in others]
    wire.swap([(rank, pieces[rank]) for rank in others], list(zip(others, got, strict=True)))
    for one in got:
        own += one
    wire.swap([(rank, own) for rank in others], [(rank, pieces[rank]) for rank in others])


def ping(wire: Wire, x: Tensor, far: int) -> None:
    """From rank 0 to rank `far` and back; the others look on."""
    if wire.rank == 0:
        wire.send(far, x)
        wire.receive(far, x)
    elif wire.rank == far:
        wire.receive(0, x)
        wire.send(0, x)


OWN = {"ring": ring, "tree": tree, "server": server, "full": full}
