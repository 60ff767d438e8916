"""Fabric test: measured collectives, message sizes and the link fit."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

SMALLEST_BYTES = 1024
MAX_SIZES = 15  # up to 16 MiB, doubling; each step of the test measures one size
# Spec fields that a fabric test uses; it ignores the others.
FIELDS = (
    "name", "pool", "priority", "preemptible", "kind", "requires", "parallel.data", "budget.steps",
    "budget.time_limit_s",
)  # fmt: skip

Collective = Literal["all_reduce", "reduce_scatter", "all_gather", "send"]


@dataclass(frozen=True)
class Algorithm:
    """One way to move data between n ranks. Moving S bytes over links with latency A and bandwidth B costs
    hops(n) A + share(n) S / B."""

    name: str
    title: str
    collective: Collective
    meaning: str
    hops: Callable[[int], float]
    share: Callable[[int], float]
    # Share of S that the busiest rank sends; None: the backend does not report it
    sent: Callable[[int], float] | None = None


def _ring(n: int) -> float:
    return 2 * (n - 1) / n


def _half(n: int) -> float:
    return (n - 1) / n


def _levels(n: int) -> int:
    return (n - 1).bit_length()


ALGORITHMS: tuple[Algorithm, ...] = (
    Algorithm("ring", "All-reduce, ring", "all_reduce", "Pieces pass from rank to rank, twice around the ring",
              lambda n: 2 * (n - 1), _ring, _ring),
    Algorithm("tree", "All-reduce, tree", "all_reduce", "Pairs add up to one rank; the sum returns the same way",
              lambda n: 2 * _levels(n), lambda n: 2 * _levels(n), _levels),
    Algorithm("server", "All-reduce, parameter server", "all_reduce", "All send to one rank, which sends back the sum",
              lambda n: 2, lambda n: 2 * (n - 1), lambda n: n - 1),
    Algorithm("full", "All-reduce, fully connected", "all_reduce",
              "Each rank adds up one piece of all others and sends it to all", lambda n: 2, _ring, _ring),
    Algorithm("backend", "All-reduce, the backend's own", "all_reduce", "The one training uses: NCCL or gloo",
              lambda n: 2 * (n - 1), _ring),
    Algorithm("reduce_scatter", "Reduce-scatter", "reduce_scatter", "The backend's own", lambda n: n - 1, _half),
    Algorithm("all_gather", "All-gather", "all_gather", "The backend's own", lambda n: n - 1, _half),
    Algorithm("send", "Send and receive", "send", "From one rank to its neighbour: half a round trip",
              lambda n: 1, lambda n: 1, lambda n: 1),
    Algorithm("send_far", "Send and receive, between nodes", "send", "The same to a rank on another node",
              lambda n: 1, lambda n: 1, lambda n: 1),
)  # fmt: skip
BY_NAME = {algorithm.name: algorithm for algorithm in ALGORITHMS}
# Factor from S / time to bus bandwidth as in nccl-tests, comparable across numbers of ranks.
BUS_SHARE: dict[str, Callable[[int], float]] = {
    "all_reduce": _ring,
    "reduce_scatter": _half,
    "all_gather": _half,
    "send": lambda n: 1.0,
}


def message_sizes(count: int) -> list[int]:
    """Message sizes in bytes, smallest first."""
    return [SMALLEST_BYTES * 2**power for power in range(min(count, MAX_SIZES))]


def total_bytes(algorithm: Algorithm, num_ranks: int, size_bytes: float) -> float:
    """Return S of the formulas; for an all-gather the size of the gathered result, as in nccl-tests."""
    return size_bytes * num_ranks if algorithm.collective == "all_gather" else size_bytes


def bus_bytes_per_s(algorithm: Algorithm, num_ranks: int, size_bytes: float, seconds: float) -> float:
    total = total_bytes(algorithm, num_ranks, size_bytes)
    return total / seconds * BUS_SHARE[algorithm.collective](num_ranks)


@dataclass(frozen=True)
class LinkFit:
    """Latency and bandwidth fitted to the times of one algorithm, with the error of the fit."""

    latency_s: float  # of one hop
    bytes_per_s: float
    error_share: float  # median of |fitted - measured| / measured
    n: int


def fit_link(algorithm: Algorithm, num_ranks: int, points: Iterable[tuple[float, float]]) -> LinkFit | None:
    """Fit latency and bandwidth to (message bytes, seconds) by iteratively reweighted least squares on relative
    errors with Huber weights. None for fewer than three sizes, or where time does not grow with size."""
    usable = [
        (total_bytes(algorithm, num_ranks, s), seconds) for s, seconds in points if s > 0 and seconds > 0
    ]
    if len(usable) < 3:
        return None
    weights = [1.0] * len(usable)
    base = slope = 0.0
    for _ in range(20):
        base, slope = _fit_line(usable, weights)
        errors = [(base + slope * size - seconds) / seconds for size, seconds in usable]
        scale = max(1.4826 * statistics.median(abs(error) for error in errors), 1e-6)
        weights = [min(1.0, 1.345 * scale / max(abs(error), 1e-12)) for error in errors]
    if slope <= 0:
        return None
    error = statistics.median(abs(base + slope * size - seconds) / seconds for size, seconds in usable)
    return LinkFit(base / algorithm.hops(num_ranks), algorithm.share(num_ranks) / slope, error, len(usable))


def _fit_line(points: Sequence[tuple[float, float]], weights: Sequence[float]) -> tuple[float, float]:
    """Return intercept and slope of weighted least squares on relative errors, neither below 0."""
    rows = [
        (weight / seconds**2, size, seconds) for weight, (size, seconds) in zip(weights, points, strict=True)
    ]
    total = sum(w for w, _, _ in rows)
    mean_x = sum(w * x for w, x, _ in rows) / total
    mean_y = sum(w * y for w, _, y in rows) / total
    spread = sum(w * (x - mean_x) ** 2 for w, x, _ in rows)
    slope = sum(w * (x - mean_x) * (y - mean_y) for w, x, y in rows) / spread if spread else 0.0
    base = mean_y - slope * mean_x
    if base < 0:  # a latency is not negative
        return 0.0, sum(w * x * y for w, x, y in rows) / sum(w * x * x for w, x, _ in rows)
    return (base, slope) if slope > 0 else (mean_y, 0.0)
