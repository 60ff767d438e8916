"""Sockets on which ranks listen: the store of rank 0 and gloo's, on one address only."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from engine.directory import Placement, RankSeat
from engine.rank.parallel import rendezvous
from engine.supervisor.environment import free_port
from tests.engine.rank.attempts import Attempt, tiny

pytestmark = pytest.mark.ranks

Start = Callable[..., Attempt]
LISTENING = "0A"  # include/net/tcp_states.h


def build_placement(address: str) -> Placement:
    return Placement(
        job="job", run="run", attempt=1, node="node", world_size=1, master_addr=address, master_port=0,
        seats=(RankSeat(0, 0, "cpu-0", "cpu", 0, 0, 0),), threads_per_rank=1, lock_dir="", data_dir="", corpus_root="",
    )  # fmt: skip


def listening_addresses(pid: int) -> Iterator[str]:
    """Yield the addresses on which a process listens, from /proc/net/tcp and tcp6."""
    links = [os.readlink(path) for path in Path(f"/proc/{pid}/fd").iterdir() if path.is_symlink()]
    own = {link.removeprefix("socket:[").removesuffix("]") for link in links if link.startswith("socket:")}
    for name, family in (("tcp", socket.AF_INET), ("tcp6", socket.AF_INET6)):
        for line in Path(f"/proc/{pid}/net/{name}").read_text().splitlines()[1:]:
            fields = line.split()
            if fields[3] == LISTENING and fields[9] in own:
                words = bytes.fromhex(fields[1].partition(":")[0])
                packed = b"".join(words[at : at + 4][::-1] for at in range(0, len(words), 4))
                yield socket.inet_ntop(family, packed)


@pytest.mark.parametrize("parallel", [{}, {"data": 2}, {"stages": 2}])
def test_ranks_of_one_node_listen_on_loopback_only(parallel: dict[str, int], start: Start) -> None:
    attempt = start(tiny(parallel=parallel, budget={"steps": 100_000}))
    attempt.wait_for_step(1)
    found = [address for pid in attempt.pids for address in listening_addresses(pid)]
    attempt.stop()
    assert found and set(found) == {"127.0.0.1"}
    assert attempt.exit_codes


@pytest.mark.parametrize("address", ["127.0.0.1", "127.9.8.7", "::1"])
def test_the_store_listens_on_the_address_of_the_placement(
    address: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """127.9.8.7 stands for the address of a node in a gang: nothing answers on any other one."""
    placement = build_placement(address)
    try:
        port = free_port(address)
    except OSError:
        pytest.skip("this machine has no IPv6")
    before = set(listening_addresses(os.getpid()))
    monkeypatch.setenv("MASTER_PORT", str(port))
    store = rendezvous._open_store(placement, 0)
    other = rendezvous._open_store(placement, 1)
    store.set("key", "value")
    assert other.get("key") == b"value"
    assert set(listening_addresses(os.getpid())) - before == {address}
    del other, store


def test_a_port_that_is_taken_is_an_error_of_rank_0(monkeypatch: pytest.MonkeyPatch) -> None:
    placement = Placement(
        job="job", run="run", attempt=1, node="node", world_size=1, master_addr="127.0.0.1", master_port=0,
        seats=(RankSeat(0, 0, "cpu-0", "cpu", 0, 0, 0),), threads_per_rank=1, lock_dir="", data_dir="", corpus_root="",
    )  # fmt: skip
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        monkeypatch.setenv("MASTER_PORT", str(taken.getsockname()[1]))
        with pytest.raises(OSError, match="in use"):
            rendezvous._open_store(placement, 0)
