"""The fabric test: which collectives are measured over which sizes, and the latency and bandwidth fitted to them."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

SMALLEST_BYTES = 1024
MOST_SIZES = 15  # up to 16 MiB, doubling; a step of the test is one size
# The fields of a spec that mean something to a fabric test; the others are left alone.
FIELDS = (
    "name", "pool", "priority", "preemptible", "kind", "requires", "parallel.data", "budget.steps",
    "budget.time_limit_s",
)  # fmt: skip

Collective = Literal["all_reduce", "reduce_scatter", "all_gather", "send"]


@dataclass(frozen=True)
class Algorithm:
    """One way to move data between n ranks. `hops` and `share` are what it costs of S bytes on a link with latency A
    and bandwidth B: hops(n) A + share(n) S / B."""

    name: str
    title: str
    collective: Collective
    meaning: str
    hops: Callable[[int], float]
    share: Callable[[int], float]
    sent: Callable[[int], float] | None = (
        None  # of S, by the busiest rank; None: the backend sends and does not tell
    )


def _ring(n: int) -> float:
    return 2 * (n - 1) / n


def _half(n: int) -> float:
    return (n - 1) / n


def _levels(n: int) -> int:
    return (n - 1).bit_length()


ALGORITHMS: tuple[Algorithm, ...] = (
    Algorithm("ring", "All-reduce, ring", "all_reduce", "Each passes pieces to its neighbour, twice round",
              lambda n: 2 * (n - 1), _ring, _ring),
    Algorithm("tree", "All-reduce, tree", "all_reduce", "Pairs of pairs add up to one rank, and back down",
              lambda n: 2 * _levels(n), lambda n: 2 * _levels(n), _levels),
    Algorithm("server", "All-reduce, parameter server", "all_reduce", "All send to one rank, which sends back the sum",
              lambda n: 2, lambda n: 2 * (n - 1), lambda n: n - 1),
    Algorithm("full", "All-reduce, fully connected", "all_reduce",
              "Each adds up one piece from all others and sends it to all", lambda n: 2, _ring, _ring),
    Algorithm("backend", "All-reduce, the backend's own", "all_reduce", "As training uses it: NCCL or gloo",
              lambda n: 2 * (n - 1), _ring),
    Algorithm("reduce_scatter", "Reduce-scatter", "reduce_scatter", "The backend's own", lambda n: n - 1, _half),
    Algorithm("all_gather", "All-gather", "all_gather", "The backend's own", lambda n: n - 1, _half),
    Algorithm("send", "Send and receive", "send", "From one rank to its neighbour, half of there and back",
              lambda n: 1, lambda n: 1, lambda n: 1),
    Algorithm("send_far", "Send and receive, between nodes", "send", "The same to a rank on another node",
              lambda n: 1, lambda n: 1, lambda n: 1),
)  # fmt: skip
BY_NAME = {algorithm.name: algorithm for algorithm in ALGORITHMS}
# What busbw counts of a collective's S bytes over its time, as nccl-tests do: comparable over numbers of ranks.
BUS_SHARE: dict[str, Callable[[int], float]] = {
    "all_reduce": _ring,
    "reduce_scatter": _half,
    "all_gather": _half,
    "send": lambda n: 1.0,
}


def sizes(count: int) -> list[int]:
    """Message sizes in bytes, from the smallest."""
    return [SMALLEST_BYTES * 2**power for power in range(min(count, MOST_SIZES))]


def whole_bytes(algorithm: Algorithm, num_ranks: int, size_bytes: float) -> float:
    """S of the formulas: of an all-gather what stands there in the end, as nccl-tests count it."""
    return size_bytes * num_ranks if algorithm.collective == "all_gather" else size_bytes


def bus_bytes_per_s(algorithm: Algorithm, num_ranks: int, size_bytes: float, seconds: float) -> float:
    whole = whole_bytes(algorithm, num_ranks, size_bytes)
    return whole / seconds * BUS_SHARE[algorithm.collective](num_ranks)


@dataclass(frozen=True)
class Fit:
    """Of one algorithm's times: what they say of a link, and how well the two numbers tell them."""

    latency_s: float  # of one hop
    bytes_per_s: float
    error_share: float  # median of |fitted - measured| / measured
    n: int


def fit(algorithm: Algorithm, num_ranks: int, points: Iterable[tuple[float, float]]) -> Fit | None:
    """Latency and bandwidth from (message bytes, seconds): the line that is off least in relative terms, outliers
    weighed less (iteratively reweighted least squares, Huber). None for fewer than three sizes, or where time does
    not grow with them."""
    usable = [
        (whole_bytes(algorithm, num_ranks, s), seconds) for s, seconds in points if s > 0 and seconds > 0
    ]
    if len(usable) < 3:
        return None
    weights = [1.0] * len(usable)
    base = slope = 0.0
    for _ in range(20):
        base, slope = _line(usable, weights)
        errors = [(base + slope * size - seconds) / seconds for size, seconds in usable]
        scale = max(1.4826 * statistics.median(abs(error) for error in errors), 1e-6)
        weights = [min(1.0, 1.345 * scale / max(abs(error), 1e-12)) for error in errors]
    if slope <= 0:
        return None
    error = statistics.median(abs(base + slope * size - seconds) / seconds for size, seconds in usable)
    return Fit(base / algorithm.hops(num_ranks), algorithm.share(num_ranks) / slope, error, len(usable))


def _line(points: Sequence[tuple[float, float]], weights: Sequence[float]) -> tuple[float, float]:
    """Intercept and slope, neither below 0, of weighted least squares on relative errors."""
    rows = [
        (weight / seconds**2, size, seconds) for weight, (size, seconds) in zip(weights, points, strict=True)
    ]
    total = sum(w for w, _, _ in rows)
    mean_x = sum(w * x for w, x, _ in rows) / total
    mean_y = sum(w * y for w, _, y in rows) / total
    spread = sum(w * (x - mean_x) ** 2 for w, x, _ in rows)
    slope = sum(w * (x - mean_x) * (y - mean_y) for w, x, y in rows) / spread if spread else 0.0
    base = mean_y - slope * mean_x
    if base < 0:  # the smallest message takes no less than no time
        return 0.0, sum(w * x * y for w, x, y in rows) / sum(w * x * x for w, x, _ in rows)
    return (base, slope) if slope > 0 else (mean_y, 0.0)
