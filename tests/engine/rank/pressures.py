"""Table of runs without sleeps: dispatch, ZeRO, quota and neighbours on real ranks."""

from __future__ import annotations

from typing import Any

from tests.engine.rank.injected import Case

PIPELINE = {"data": 1, "stages": 2}
FEW = {"global_batch_size": 2, "micro_batch_size": 2}
WIDE = {"layers": 4, "width": 256, "heads": 4, "ffn_width": 1024, "context": 64}


def _case(name: str, expected: str, **more: Any) -> Case:
    return Case(name, frozenset(expected.split()), more.pop("inject", {}), **more)


def _pieces(name: str, layout: dict[str, Any], count: int, micro: int, **more: Any) -> Case:
    """Micro-batches of one sequence, compared with larger ones."""
    batch = {"global_batch_size": count, "micro_batch_size": 1}
    return _case(
        name, "dispatch", layout=layout, batch=batch, alter={"batch.micro_batch_size": micro}, **more
    )


def _zero(before: int, after: int, **more: Any) -> Case:
    """Seven micro-batches of two, with another ZeRO stage."""
    return _case(
        f"ZeRO {before} to {after}", "dispatch communication host", layout={"data": 2, "zero_stage": before},
        batch={"global_batch_size": 28, "micro_batch_size": 2}, alter={"parallel.zero_stage": after}, **more,
    )  # fmt: skip


# `expected` are rules of which one is named.
CASES: tuple[Case, ...] = (
    _pieces("32 micro-batches of 1, one rank", {"data": 1}, 32, 32),
    _pieces("32 micro-batches of 1 to 8, one rank", {"data": 1}, 32, 8),
    _pieces("16 micro-batches of 1, wider", {"data": 1}, 16, 16, model=WIDE),
    _pieces("16 micro-batches of 1, two ranks", {"data": 2}, 32, 8),
    _pieces("two stages, 32 micro-batches of 1", PIPELINE, 32, 8),
    _pieces("two stages, 32 micro-batches of 1 to 4", PIPELINE, 32, 4),
    _zero(1, 0),
    _zero(2, 1),
    _zero(2, 0),
    _zero(3, 2),
    _zero(3, 1),
    _case("one rank alone", "compute host", layout={"data": 1}, model=WIDE),
    _case("two ranks", "compute", model=WIDE),
    _case("recomputation", "compute", layout={"data": 1, "activation_checkpointing": "full"}, model=WIDE,
          alter={"parallel.activation_checkpointing": "none"}),
    # Small enough that the quota and not the machine's own load is what stops them
    _case("quota of 0.1 cores", "quota", layout={"data": 1}, batch=FEW, model=WIDE,
          inject={"quota_share": 0.1, "runs_first": False}),
    _case("quota of one rank", "quota", batch={"global_batch_size": 4, "micro_batch_size": 2}, model=WIDE,
          inject={"quota_share": 0.1, "runs_first": False, "ranks": {"quota_share": [1]}}),
    _case("neighbours of one rank of two", "contention imbalance", model=WIDE,
          inject={"neighbours": 3, "runs_first": False, "ranks": {"neighbours": [0]}}),
    _case("neighbours of one rank alone", "contention", layout={"data": 1}, model=WIDE,
          inject={"neighbours": 3, "runs_first": False}),
)  # fmt: skip
