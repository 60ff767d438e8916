"""A run goes on in another number of ranks, another ZeRO stage or another grid, and its curve does not show it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from tests.engine.rank.attempts import Attempt, tiny

pytestmark = pytest.mark.ranks

Start = Callable[..., Attempt]

TOLERANCE = 1e-5  # relative, over the 20 steps behind the change
BUDGET = {"steps": 30, "checkpoint_every": 10, "keep_checkpoints": 9}

LAYOUTS: dict[str, dict[str, Any]] = {
    "one rank": {},
    "DP2": {"data": 2},
    "ZeRO 1": {"data": 2, "zero_stage": 1},
    "ZeRO 2": {"data": 2, "zero_stage": 2},
    "ZeRO 3": {"data": 2, "zero_stage": 3},
    "ZeRO 3, four ranks": {"data": 4, "zero_stage": 3},
    "PP2": {"stages": 2},
    "DP2 x PP2, ZeRO 1": {"data": 2, "stages": 2, "zero_stage": 1},
    "TP2, ZeRO 1": {"tensor": 2, "zero_stage": 1},
    "TP2 x PP2": {"tensor": 2, "stages": 2},
}
# Each kind of wrapper once as giver and once as taker; all pairs in tests/perf/test_checkpoints.py.
PAIRS = [("ZeRO 3", "TP2 x PP2"), ("TP2 x PP2", "ZeRO 1"), ("DP2 x PP2, ZeRO 1", "ZeRO 3")]


def curve_after_change(start: Start, giver: Attempt, name: str) -> dict[int, float]:
    """Losses of steps 11 to 30 in layout `name`, from the giver's checkpoint at step 10."""
    spec = tiny(parallel=LAYOUTS[name], budget=BUDGET)
    checkpoint = giver.directory.checkpoints / "step-00000010"
    taker = start(spec, f"{giver.directory.path.name} to {name}", resume_from=checkpoint).succeeded()
    losses = taker.series("loss")
    assert list(losses) == list(range(11, 31))
    return losses


def farthest(losses: dict[int, float], whole: dict[int, float]) -> float:
    return max(abs(loss / whole[step] - 1) for step, loss in losses.items())


@pytest.mark.parametrize(("giving", "taking"), PAIRS)
def test_the_curve_goes_on_in_another_layout(giving: str, taking: str, start: Start) -> None:
    giver = start(tiny(parallel=LAYOUTS[giving], budget=BUDGET), "giver").succeeded()
    losses = curve_after_change(start, giver, taking)
    assert farthest(losses, giver.series("loss")) < TOLERANCE


def test_the_run_says_what_has_changed(start: Start) -> None:
    spec = tiny(parallel={"data": 2, "zero_stage": 1}, model={"dropout": 0.1}, budget={"steps": 4})
    giver = start(spec, "giver").succeeded()
    spec = tiny(parallel={"stages": 2}, model={"dropout": 0.1}, budget={"steps": 6})
    taker = start(spec, "taker", resume_from=giver.directory.newest_checkpoint()).succeeded()
    assert (
        "Resumed in another layout than that of the checkpoint: parallel.data 2 -> 1, parallel.stages 1 -> 2, "
        "parallel.zero_stage 1 -> 0. Dropout continues with new random numbers."
    ) in [line.text for line in taker.lines("note", "rank0")]


def test_a_checkpoint_keeps_each_number_once_whatever_the_layout(start: Start) -> None:
    """Weights and two moments of AdamW in fp32: 12 bytes a parameter over all ranks' files."""
    sizes = {}
    for name in ("one rank", "DP2", "ZeRO 3"):
        spec = tiny(parallel=LAYOUTS[name], budget={"steps": 2})
        newest = start(spec, name).succeeded().directory.newest_checkpoint()
        assert newest
        sizes[name] = sum(file.stat().st_size for file in newest.glob("rank*.safetensors"))
    assert max(sizes.values()) < 1.35 * min(sizes.values()), sizes


HALF: dict[str, dict[str, Any]] = {"plain": {}, "ZeRO 1": {"data": 2, "zero_stage": 1}, "PP2": {"stages": 2}}


@pytest.mark.parametrize(("giving", "taking"), [("plain", "PP2"), ("PP2", "ZeRO 1"), ("ZeRO 1", "plain")])
def test_in_bf16_the_fp32_weights_go_on_in_every_wrapper(giving: str, taking: str, start: Start) -> None:
    """DeepSpeed wraps the optimiser otherwise in each of these; losses are as far apart as bf16 makes them anyway."""
    budget = {"steps": 8, "checkpoint_every": 4, "keep_checkpoints": 9}
    giver, same, other = (
        tiny(parallel=HALF[name], precision={"dtype": "bf16"}, budget=budget)
        for name in (giving, giving, taking)
    )
    first = start(giver, "giver").succeeded()
    checkpoint = first.directory.checkpoints / "step-00000004"
    whole = first.series("loss")
    again = start(same, "same", resume_from=checkpoint).succeeded().series("loss")
    assert again == {step: whole[step] for step in range(5, 9)}, "bit by bit in the same layout"
    there = start(other, "other", resume_from=checkpoint).succeeded().series("loss")
    assert list(there) == [5, 6, 7, 8]
    assert farthest(there, whole) < 5e-3
