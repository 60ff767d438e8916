"""Table of injected bottlenecks with their expected verdicts."""

from __future__ import annotations

from typing import Any

from tests.engine.rank.injected import BLOCK_S, CAPACITY_BYTES, Case

WORK = {"block_s": BLOCK_S}
PIPELINE = {"data": 1, "stages": 2}
PIPELINE_OF_4 = {"data": 1, "stages": 4}
FOUR = {"layout": {"data": 4}, "batch": {"global_batch_size": 32}}
PIECES = {"global_batch_size": 16, "micro_batch_size": 1}  # 16 micro-batches


def _case(
    name: str, expected: str, inject: dict[str, Any], without: dict[str, Any] | None = None, **more: Any
) -> Case:
    rest = None if without is None else WORK | without
    return Case(name, frozenset(expected.split(" + ")), WORK | inject, without=rest, **more)


def _compute(name: str, times: int, sequences: int = 8, **more: Any) -> Case:
    """Blocks `times` as slow, compared with normal ones."""
    removed_s = (times - 1) * BLOCK_S * 2 * sequences
    return _case(name, "compute", {"block_s": times * BLOCK_S}, {}, removed_s=removed_s, **more)


def _bubble(
    name: str, layout: dict[str, int], sequences: int, micro: int, times: int = 1, **more: Any
) -> Case:
    """Equal stages, compared with half the micro-batch."""
    batch = {"global_batch_size": sequences, "micro_batch_size": micro}
    alter = {"batch.micro_batch_size": micro // 2}
    return _case(
        name, "bubble", {"block_s": times * BLOCK_S}, layout=layout, batch=batch, alter=alter, **more
    )


def _slow(name: str, rank: int, times: int, ranks: int, **more: Any) -> Case:
    """One rank sleeps, compared with the same sleep divided over all ranks."""
    inject = {"block_s": times * BLOCK_S, "ranks": {"block_s": [rank]}}
    return _case(name, "imbalance", inject, {"block_s": times * BLOCK_S / ranks}, **more)


def _full(name: str, share: float, state: str) -> Case:
    inject = {"resident_bytes": int(share * CAPACITY_BYTES)}
    return _case(name, "compute", inject, capacity_bytes=CAPACITY_BYTES, state=state)


CASES: tuple[Case, ...] = (
    # Data loading: on every rank, or on one of two
    _case("data, 5 ms a sequence", "input", {"data_s": 0.005}, {}),
    _case("data, 10 ms a sequence", "input", {"data_s": 0.010}, {}),
    _case("data, 30 ms a sequence", "input", {"data_s": 0.030}, {}),
    _case("data, on one rank of two", "input", {"data_s": 0.015, "ranks": {"data_s": [1]}}, {}),
    _case("data, ZeRO 2", "input", {"data_s": 0.012}, {}, layout={"zero_stage": 2}),
    _case("data, one rank alone", "input", {"data_s": 0.010}, {}, layout={"data": 1}),
    # Compute: the verdict names no other cause
    _compute("compute, one rank alone", 2, 16, layout={"data": 1}),
    _compute("compute, two ranks", 2),
    _compute("compute, ZeRO 1", 2, layout={"zero_stage": 1}),
    _compute("compute, ZeRO 2", 3, layout={"zero_stage": 2}),
    _compute("compute, four ranks", 2, **FOUR),
    # Communication
    _case("slow link, ZeRO 0", "communication", {"link_bytes_per_s": 2.0e6}, {}),
    _case("very slow link, ZeRO 0", "communication", {"link_bytes_per_s": 0.7e6}, {}),
    _case("slow link, ZeRO 1", "communication", {"link_bytes_per_s": 3.0e6}, {}, layout={"zero_stage": 1}),
    _case("slow link, ZeRO 2", "communication", {"link_bytes_per_s": 3.0e6}, {}, layout={"zero_stage": 2}),
    _case("slow link, ZeRO 3", "communication", {"link_bytes_per_s": 3.0e6}, {}, layout={"zero_stage": 3}),
    _case("slow link, four ranks", "communication", {"link_bytes_per_s": 1.6e6}, {}, **FOUR),
    # Pipeline bubble
    _bubble("bubble, p 2, m 1", PIPELINE, 8, 8),
    _bubble("bubble, p 2, m 2", PIPELINE, 16, 8),
    _bubble("bubble, p 2, m 4", PIPELINE, 16, 4),
    _bubble("bubble, p 4, m 4", PIPELINE_OF_4, 16, 4, 2),
    _bubble("bubble, p 4, m 8", PIPELINE_OF_4, 16, 2, 2),
    _bubble("bubble, two copies, p 2, m 2", {"data": 2, "stages": 2}, 16, 4),
    # Imbalance
    _slow("one slow rank of two", 0, 3, 2),
    _slow("one slow rank of four", 2, 3, 4, **FOUR),
    _slow("one slow stage of two, m 16", 1, 2, 2, layout=PIPELINE, batch=PIECES),
    _slow("one slow stage of four, m 16", 2, 3, 4, layout=PIPELINE_OF_4, batch=PIECES),
    # Host
    _case("host, 60 ms a step", "host", {"host_s": 0.06}, {}),
    _case("host, one rank alone", "host", {"host_s": 0.12}, {}, layout={"data": 1}),
    # Memory capacity, with a verdict of compute
    _full("memory 94 % full", 0.925, "notable"),
    _full("memory 99 % full", 0.98, "strong"),
    # Balanced: two causes of the same size, or none
    _case("data and host alike", "input + host", {"data_s": 0.0085, "host_s": 0.068}),
    _case("data and link alike", "input + communication", {"data_s": 0.0085, "link_bytes_per_s": 2.1e6}),
    _case("clean, one rank alone", "compute", {}, layout={"data": 1}),
    _case("clean, two ranks", "compute", {}),
    _case("clean, ZeRO 1", "compute", {}, layout={"zero_stage": 1}),
)  # fmt: skip
