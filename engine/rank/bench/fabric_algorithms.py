"""All-reduce algorithms over send and receive, for the fabric test.

Legend: x [S] is the flat input of the rank; each algorithm replaces it with the sum over all n ranks.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch import distributed as dist


class PeerLinks:
    """Point-to-point messages between ranks; counts the bytes that this rank sends."""

    def __init__(self, rank: int, size: int) -> None:
        self.rank, self.size = rank, size
        self.sent_bytes = 0

    def exchange(self, sends: list[tuple[int, Tensor]], receives: list[tuple[int, Tensor]]) -> None:
        """Start all messages at once, so that no two ranks wait for each other, and wait until all are done."""
        self.sent_bytes += sum(x.numel() * x.element_size() for _, x in sends)
        ops = [dist.P2POp(dist.isend, x, to) for to, x in sends if x.numel()]
        ops += [dist.P2POp(dist.irecv, x, source) for source, x in receives if x.numel()]
        for work in dist.batch_isend_irecv(ops) if ops else []:
            work.wait()

    def send(self, to: int, x: Tensor) -> None:
        self.exchange([(to, x)], [])

    def receive(self, source: int, x: Tensor) -> None:
        self.exchange([], [(source, x)])


def ring(links: PeerLinks, x: Tensor) -> None:
    """Ring: n-1 rounds of reduce-scatter, then n-1 rounds of all-gather (Patarasuk and Yuan 2009)."""
    n, me, chunks = links.size, links.rank, list(x.tensor_split(links.size))
    right, left = (me + 1) % n, (me - 1) % n
    for number in range(n - 1):
        own_chunk, next_chunk = chunks[(me - number) % n], chunks[(me - number - 1) % n]
        got = torch.empty_like(next_chunk)
        links.exchange([(right, own_chunk)], [(left, got)])
        next_chunk += got
    for number in range(n - 1):
        links.exchange([(right, chunks[(me + 1 - number) % n])], [(left, chunks[(me - number) % n])])


def tree(links: PeerLinks, x: Tensor) -> None:
    """Binomial tree: reduce to rank 0, then broadcast through the same tree."""
    n, me, got, gap = links.size, links.rank, torch.empty_like(x), 1
    while gap < n:
        if me % (2 * gap) == gap:
            links.send(me - gap, x)
        elif me % (2 * gap) == 0 and me + gap < n:
            links.receive(me + gap, got)
            x += got
        gap *= 2
    while gap > 1:
        gap //= 2
        if me % (2 * gap) == 0 and me + gap < n:
            links.send(me + gap, x)
        elif me % (2 * gap) == gap:
            links.receive(me - gap, x)


def parameter_server(links: PeerLinks, x: Tensor) -> None:
    """Parameter server on rank 0: receives all inputs and sends the sum to all ranks."""
    if links.rank:
        links.send(0, x)
        links.receive(0, x)
        return
    got = [torch.empty_like(x) for _ in range(1, links.size)]
    links.exchange([], [(rank, one) for rank, one in enumerate(got, start=1)])
    for one in got:
        x += one
    links.exchange([(rank, x) for rank in range(1, links.size)], [])


def fully_connected(links: PeerLinks, x: Tensor) -> None:
    """Fully connected: rank r sums chunk r of all ranks and sends it to all ranks."""
    n, me, chunks = links.size, links.rank, list(x.tensor_split(links.size))
    others, own = [rank for rank in range(n) if rank != me], chunks[me]
    got = [torch.empty_like(own) for _ in others]
    links.exchange([(rank, chunks[rank]) for rank in others], list(zip(others, got, strict=True)))
    for one in got:
        own += one
    links.exchange([(rank, own) for rank in others], [(rank, chunks[rank]) for rank in others])


def ping(links: PeerLinks, x: Tensor, far: int) -> None:
    """Send x from rank 0 to rank `far` and back; the other ranks do nothing."""
    if links.rank == 0:
        links.send(far, x)
        links.receive(far, x)
    elif links.rank == far:
        links.receive(0, x)
        links.send(0, x)


OWN_ALGORITHMS = {"ring": ring, "tree": tree, "server": parameter_server, "full": fully_connected}
