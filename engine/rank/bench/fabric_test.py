"""Fabric test of a rank: checks and times every collective for every message size."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor
from torch import distributed as dist

from engine.directory import EXIT_LATE, EXIT_STOPPED, AttemptDirectory, Placement, RankSeat
from engine.hardware.fabric_test import ALGORITHMS, BY_NAME, Algorithm, bus_bytes_per_s, message_sizes
from engine.rank.bench.fabric_algorithms import OWN_ALGORITHMS, PeerLinks, ping
from engine.rank.measure import progress_log
from engine.rank.measure.recorder import Recorder
from engine.rank.parallel.rendezvous import open_process_group
from engine.spec.spec import Spec
from engine.telemetry.heartbeat import Heartbeat, Stage

SECONDS_PER_SIZE = 0.12  # for one size of one algorithm, without warm-up
MIN_REPETITIONS, MAX_REPETITIONS = 3, 60
LARGEST_VALUE = 7  # small integers, whose sums are exact in fp32 in any order


class WrongResult(Exception):
    """A collective gave a wrong sum; the message names the algorithm, the size and the rank."""


@dataclass(frozen=True)
class TimedCall:
    """A collective to time, with the actual and the expected result of its first run.

    Later runs start from the last result, so the values overflow; the speed does not change.
    """

    run: Callable[[], object]
    result: Callable[[], Tensor]
    expected: Tensor


@dataclass
class FabricBenchmark:
    """The fabric test on one rank."""

    links: PeerLinks
    device: torch.device
    neighbour: int  # the rank on its own node that rank 0 sends to
    far: int | None  # a rank on another node, if there is one

    def build_input(self, count: int) -> Tensor:
        """Return the input of this rank [S]: rank + 1 times a pattern that is the same on all ranks."""
        return (torch.arange(count, device=self.device) % LARGEST_VALUE).float() * (self.links.rank + 1)

    def prepare_call(self, algorithm: Algorithm, count: int) -> TimedCall | None:
        """Prepare the call of an algorithm; None if it needs a rank on another node and there is none."""
        n, me, mine = self.links.size, self.links.rank, self.build_input(count)
        pattern = mine / (me + 1)
        if algorithm.collective == "send":
            far = self.neighbour if algorithm.name == "send" else self.far
            expected = pattern if me in (0, far) else mine
            return (
                None
                if far is None
                else TimedCall(lambda: ping(self.links, mine, far), lambda: mine, expected)
            )
        if algorithm.name == "all_gather":
            parts = [torch.empty_like(mine) for _ in range(n)]
            expected = torch.cat([pattern * (rank + 1) for rank in range(n)])
            return TimedCall(lambda: dist.all_gather(parts, mine), lambda: torch.cat(parts), expected)
        total = pattern * (n * (n + 1) / 2)
        if algorithm.name == "reduce_scatter":
            even = count // n * n
            out = torch.empty(even // n, device=self.device)
            return TimedCall(
                lambda: dist.reduce_scatter_tensor(out, mine[:even]),
                lambda: out,
                total[:even].tensor_split(n)[me],
            )
        reduce = OWN_ALGORITHMS.get(algorithm.name)
        return TimedCall(
            lambda: reduce(self.links, mine) if reduce else dist.all_reduce(mine), lambda: mine, total
        )

    def measure(self, algorithm: Algorithm, size_bytes: int) -> dict[str, float] | None:
        """Return the time of the slowest rank and the bus bandwidth, for OWN_ALGORITHMS also the most bytes sent.

        Collective. Raises WrongResult.
        """
        timed = self.prepare_call(algorithm, size_bytes // 4)
        if timed is None:
            return None
        self.links.sent_bytes = 0
        timed.run()
        if not torch.equal(timed.result(), timed.expected):
            raise WrongResult(
                f"{algorithm.title} of {size_bytes:,} bytes gave a wrong result on rank {self.links.rank}"
            )
        sent, halves = self.links.sent_bytes, 2 if algorithm.collective == "send" else 1
        one = self._maximum(self._time_once(timed.run))
        count = int(min(MAX_REPETITIONS, max(MIN_REPETITIONS, SECONDS_PER_SIZE / max(one, 1e-7))))
        seconds = self._maximum(statistics.median(self._time_once(timed.run) for _ in range(count))) / halves
        found = {
            f"{algorithm.name}_s": seconds,
            f"{algorithm.name}_bus_bytes_per_s": bus_bytes_per_s(
                algorithm, self.links.size, size_bytes, seconds
            ),
        }
        if most := self._maximum(float(sent)):
            found[f"{algorithm.name}_sent_bytes"] = most
        return found

    def _time_once(self, run: Callable[[], object]) -> float:
        start = time.perf_counter()
        run()
        if self.device.type == "cuda":
            torch.cuda.synchronize()
        return time.perf_counter() - start

    def _maximum(self, value: float) -> float:
        """Return the maximum over all ranks. Collective."""
        found = torch.tensor(value, dtype=torch.float64, device=self.device)
        dist.all_reduce(found, dist.ReduceOp.MAX)
        return float(found)


def run(
    directory: AttemptDirectory, rank: int, process_start_s: float, stop: Callable[[], bool],
    set_up: Callable[[Placement, RankSeat], torch.device],
) -> int:  # fmt: skip
    """Run the fabric test as rank `rank` of the attempt; return the exit code. Raises WrongResult, torch's errors."""
    started_at = time.monotonic()
    progress_log.configure()
    spec, placement = directory.read_spec(), directory.read_placement()
    seat = next(seat for seat in placement.seats if seat.rank == rank)
    recorder, heartbeat = Recorder(directory.spool, rank), Heartbeat(directory.path, rank)
    heartbeat.beat(0, Stage.BUILD)
    if rank == 0:
        recorder.phase("imports", time.perf_counter() - process_start_s)
    begin = time.perf_counter()
    device = set_up(placement, seat)
    open_process_group(placement, seat)
    dist.barrier()
    if rank == 0:
        recorder.phase("build", time.perf_counter() - begin)
    try:
        return measure(spec, placement, recorder, heartbeat, device, stop, started_at + spec.budget.limit_s)
    finally:
        recorder.close()
        dist.destroy_process_group()


def measure(
    spec: Spec, placement: Placement, recorder: Recorder, heartbeat: Heartbeat, device: torch.device,
    stop: Callable[[], bool], deadline: float,
) -> int:  # fmt: skip
    """Measure all sizes from small to large and return the exit code. `deadline` is in time.monotonic().

    Collective. Raises WrongResult.
    """
    rank, size = dist.get_rank(), dist.get_world_size()
    fabric = FabricBenchmark(PeerLinks(rank, size), device, *_find_neighbours(placement, size))
    wanted = message_sizes(spec.budget.steps)
    for number, size_bytes in enumerate(wanted, start=1):
        metrics = {"message_bytes": float(size_bytes)}
        for algorithm in ALGORITHMS:
            heartbeat.beat(number, Stage.LONG)
            metrics |= fabric.measure(algorithm, size_bytes) or {}
        recorder.step(number, metrics if rank == 0 else None, {}, {})
        _log_size(rank, size_bytes, metrics)
        stop_wanted, is_late = (
            fabric._maximum(float(stop())),
            fabric._maximum(float(time.monotonic() > deadline)),
        )
        if number < len(wanted) and (stop_wanted or is_late):
            why = "Stopped on request" if stop_wanted else "The time limit was reached"
            return _record_end(recorder, number, f"{why} after {number} of {len(wanted)} sizes.", metrics,
                        EXIT_STOPPED if stop_wanted else EXIT_LATE)  # fmt: skip
    message = f"Measured {len(wanted)} sizes between {size} devices; every result was correct."
    return _record_end(recorder, len(wanted), message, metrics, 0)


def _record_end(recorder: Recorder, number: int, text: str, metrics: dict[str, float], code: int) -> int:
    if recorder.rank == 0:
        recorder.note(text, step=number)
        recorder.result(number, text, metrics)
        progress_log.log.info(text)
    return code


def _find_neighbours(placement: Placement, size: int) -> tuple[int, int | None]:
    """Return a rank on the node of rank 0 and one on another node, if there is one.

    If each node has one rank, both are the first rank of another node. Collective.
    """
    nodes: list[str] = [""] * size
    dist.all_gather_object(nodes, placement.node)
    local = [rank for rank in range(1, size) if nodes[rank] == nodes[0]]
    remote = [rank for rank in range(1, size) if nodes[rank] != nodes[0]]
    return (local or remote)[0], (remote[0] if remote else None)


def _log_size(rank: int, size_bytes: int, metrics: dict[str, float]) -> None:
    if rank == 0:
        speeds = "  ".join(
            f"{name} {metrics[key] / 1e9:.3g} GB/s"
            for name in BY_NAME
            if (key := f"{name}_bus_bytes_per_s") in metrics
        )
        progress_log.log.info("%d bytes: %s", size_bytes, speeds)
