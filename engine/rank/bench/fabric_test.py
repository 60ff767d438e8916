"""The fabric test as a rank runs it: every collective over every size, checked for its result, then timed."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta

import torch
from torch import Tensor
from torch import distributed as dist

from engine.directory import EXIT_LATE, EXIT_STOPPED, AttemptDirectory, Placement, Seat
from engine.hardware.fabric_test import ALGORITHMS, BY_NAME, Algorithm, bus_bytes_per_s, message_sizes
from engine.rank.bench.fabric_algorithms import OWN, Wire, ping
from engine.rank.measure import progress_log
from engine.rank.measure.recorder import Recorder
from engine.spec.spec import Spec
from engine.supervisor.hang_detection import PEER_TIMEOUT_S
from engine.telemetry.heartbeat import Heartbeat, Stage

POINT_S = 0.12  # what is spent on one size of one algorithm, warm-up not counted
FEWEST, MOST = 3, 60  # repetitions
LARGEST_VALUE = 7  # small whole numbers: their sums are exact in 32 bits, whatever the order


class WrongResult(Exception):
    """A collective gave something else than the sum; the message says which, where and of how many bytes."""


@dataclass(frozen=True)
class Trial:
    """What is timed, what stands there after its first run, and what must. Later runs go on from what is there:
    sums grow out of all bounds, at the same speed."""

    run: Callable[[], object]
    result: Callable[[], Tensor]
    right: Tensor


@dataclass
class Fabric:
    """One rank among the others."""

    wire: Wire
    device: torch.device
    neighbour: int  # the rank that rank 0 sends to on its own node
    far: int | None  # one on another node; None: there is none

    def values(self, count: int) -> Tensor:
        """[S] what this rank brings in: rank + 1 times a pattern that is the same everywhere."""
        return (torch.arange(count, device=self.device) % LARGEST_VALUE).float() * (self.wire.rank + 1)

    def trial(self, algorithm: Algorithm, count: int) -> Trial | None:
        """None where there is nothing to do: no rank on another node."""
        n, me, mine = self.wire.size, self.wire.rank, self.values(count)
        pattern = mine / (me + 1)
        if algorithm.collective == "send":
            far = self.neighbour if algorithm.name == "send" else self.far
            right = pattern if me in (0, far) else mine
            return None if far is None else Trial(lambda: ping(self.wire, mine, far), lambda: mine, right)
        if algorithm.name == "all_gather":
            parts = [torch.empty_like(mine) for _ in range(n)]
            right = torch.cat([pattern * (rank + 1) for rank in range(n)])
            return Trial(lambda: dist.all_gather(parts, mine), lambda: torch.cat(parts), right)
        total = pattern * (n * (n + 1) / 2)
        if algorithm.name == "reduce_scatter":
            even = count // n * n
            out = torch.empty(even // n, device=self.device)
            return Trial(
                lambda: dist.reduce_scatter_tensor(out, mine[:even]),
                lambda: out,
                total[:even].tensor_split(n)[me],
            )
        reduce = OWN.get(algorithm.name)
        return Trial(
            lambda: reduce(self.wire, mine) if reduce else dist.all_reduce(mine), lambda: mine, total
        )

    def measure(self, algorithm: Algorithm, size_bytes: int) -> dict[str, float] | None:
        """Seconds of the slowest rank, bus bandwidth, and for our own the bytes that the busiest rank sent. Raises
        WrongResult. Collective."""
        trial = self.trial(algorithm, size_bytes // 4)
        if trial is None:
            return None
        self.wire.sent_bytes = 0
        trial.run()
        if not torch.equal(trial.result(), trial.right):
            raise WrongResult(
                f"{algorithm.title} of {size_bytes:,} bytes gave a wrong result on rank {self.wire.rank}"
            )
        sent, halves = self.wire.sent_bytes, 2 if algorithm.collective == "send" else 1
        one = self._slowest(self._once(trial.run))
        count = int(min(MOST, max(FEWEST, POINT_S / max(one, 1e-7))))
        seconds = self._slowest(statistics.median(self._once(trial.run) for _ in range(count))) / halves
        found = {
            f"{algorithm.name}_s": seconds,
            f"{algorithm.name}_bus_bytes_per_s": bus_bytes_per_s(
                algorithm, self.wire.size, size_bytes, seconds
            ),
        }
        if most := self._slowest(float(sent)):
            found[f"{algorithm.name}_sent_bytes"] = most
        return found

    def _once(self, run: Callable[[], object]) -> float:
        start = time.perf_counter()
        run()
        if self.device.type == "cuda":
            torch.cuda.synchronize()
        return time.perf_counter() - start

    def _slowest(self, value: float) -> float:
        """The greatest over the ranks, which agree on it."""
        found = torch.tensor(value, dtype=torch.float64, device=self.device)
        dist.all_reduce(found, dist.ReduceOp.MAX)
        return float(found)


def run(
    directory: AttemptDirectory, rank: int, began: float, stop: Callable[[], bool],
    set_up: Callable[[Placement, Seat], torch.device],
) -> int:  # fmt: skip
    """Measure as rank `rank` of the attempt; returns the exit code. Raises WrongResult and what torch raises."""
    started_at = time.monotonic()
    progress_log.begin()
    spec, placement = directory.read_spec(), directory.read_placement()
    seat = next(seat for seat in placement.seats if seat.rank == rank)
    recorder, heartbeat = Recorder(directory.spool, rank), Heartbeat(directory.path, rank)
    heartbeat.beat(0, Stage.BUILD)
    if rank == 0:
        recorder.phase("imports", time.perf_counter() - began)
    begin = time.perf_counter()
    device = set_up(placement, seat)
    dist.init_process_group(
        "nccl" if seat.device_kind == "cuda" else "gloo", timeout=timedelta(seconds=PEER_TIMEOUT_S)
    )
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
    """All sizes from small to large; returns the exit code. `deadline`: of time.monotonic(). Collective.
    Raises WrongResult."""
    rank, size = dist.get_rank(), dist.get_world_size()
    fabric = Fabric(Wire(rank, size), device, *_neighbours(placement, size))
    wanted = message_sizes(spec.budget.steps)
    for number, size_bytes in enumerate(wanted, start=1):
        metrics = {"message_bytes": float(size_bytes)}
        for algorithm in ALGORITHMS:
            heartbeat.beat(number, Stage.LONG)
            metrics |= fabric.measure(algorithm, size_bytes) or {}
        recorder.step(number, metrics if rank == 0 else None, {}, {})
        _narrate(rank, size_bytes, metrics)
        stop_wanted, is_late = (
            fabric._slowest(float(stop())),
            fabric._slowest(float(time.monotonic() > deadline)),
        )
        if number < len(wanted) and (stop_wanted or is_late):
            why = "Stopped on request" if stop_wanted else "The time limit was reached"
            return _end(recorder, number, f"{why} after {number} of {len(wanted)} sizes.", metrics,
                        EXIT_STOPPED if stop_wanted else EXIT_LATE)  # fmt: skip
    said = f"Measured {len(wanted)} sizes between {size} devices; every result was right."
    return _end(recorder, len(wanted), said, metrics, 0)


def _end(recorder: Recorder, number: int, text: str, metrics: dict[str, float], code: int) -> int:
    if recorder.rank == 0:
        recorder.note(text, step=number)
        recorder.result(number, text, metrics)
        progress_log.log.info(text)
    return code


def _neighbours(placement: Placement, size: int) -> tuple[int, int | None]:
    """A rank beside rank 0 on its node, and one on another. Where each node has one rank, the first of another node
    is all there is: it is measured as what it is, between nodes. Collective."""
    homes: list[str] = [""] * size
    dist.all_gather_object(homes, placement.node)
    beside = [rank for rank in range(1, size) if homes[rank] == homes[0]]
    apart = [rank for rank in range(1, size) if homes[rank] != homes[0]]
    return (beside or apart)[0], (apart[0] if apart else None)


def _narrate(rank: int, size_bytes: int, metrics: dict[str, float]) -> None:
    if rank == 0:
        told = "  ".join(
            f"{name} {metrics[key] / 1e9:.3g} GB/s"
            for name in BY_NAME
            if (key := f"{name}_bus_bytes_per_s") in metrics
        )
        progress_log.log.info("%d bytes: %s", size_bytes, told)
