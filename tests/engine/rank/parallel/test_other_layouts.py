"""Runs resumed in another layout continue the same loss series."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from tests.engine.rank.attempts import Attempt, tiny

pytestmark = pytest.mark.ranks

Start = Callable[..., Attempt]

TOLERANCE = 1e-5  # relative, over the 20 steps after the change
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
# Each kind of optimiser wrapper once before and once after the change; all pairs in tests/perf/test_checkpoints.py.
PAIRS = [("ZeRO 3", "TP2 x PP2"), ("TP2 x PP2", "ZeRO 1"), ("DP2 x PP2, ZeRO 1", "ZeRO 3")]


def losses_after_change(start: Start, before: Attempt, name: str) -> dict[int, float]:
    """Return the losses of steps 11 to 30 in layout `name`, resumed from the checkpoint of `before` at step 10."""
    spec = tiny(parallel=LAYOUTS[name], budget=BUDGET)
    checkpoint = before.directory.checkpoints / "step-00000010"
    after = start(spec, f"{before.directory.path.name} to {name}", resume_from=checkpoint).succeeded()
    losses = after.series("loss")
    assert list(losses) == list(range(11, 31))
    return losses


def largest_difference(losses: dict[int, float], whole: dict[int, float]) -> float:
    return max(abs(loss / whole[step] - 1) for step, loss in losses.items())


@pytest.mark.parametrize(("old", "new"), PAIRS)
def test_the_loss_series_continues_in_another_layout(old: str, new: str, start: Start) -> None:
    before = start(tiny(parallel=LAYOUTS[old], budget=BUDGET), "before").succeeded()
    losses = losses_after_change(start, before, new)
    assert largest_difference(losses, before.series("loss")) < TOLERANCE


def test_a_note_lists_the_changed_fields(start: Start) -> None:
    spec = tiny(parallel={"data": 2, "zero_stage": 1}, model={"dropout": 0.1}, budget={"steps": 4})
    before = start(spec, "before").succeeded()
    spec = tiny(parallel={"stages": 2}, model={"dropout": 0.1}, budget={"steps": 6})
    after = start(spec, "after", resume_from=before.directory.newest_checkpoint()).succeeded()
    assert (
        "Resumed in another layout than that of the checkpoint: parallel.data 2 -> 1, parallel.stages 1 -> 2, "
        "parallel.zero_stage 1 -> 0. Dropout continues with new random numbers."
    ) in [line.text for line in after.lines("note", "rank0")]


def test_a_checkpoint_has_each_number_once_in_any_layout(start: Start) -> None:
    """Weights and two moments of AdamW in fp32: 12 bytes per parameter over the files of all ranks."""
    sizes = {}
    for name in ("one rank", "DP2", "ZeRO 3"):
        spec = tiny(parallel=LAYOUTS[name], budget={"steps": 2})
        newest = start(spec, name).succeeded().directory.newest_checkpoint()
        assert newest
        sizes[name] = sum(file.stat().st_size for file in newest.glob("rank*.safetensors"))
    assert max(sizes.values()) < 1.35 * min(sizes.values()), sizes


HALF: dict[str, dict[str, Any]] = {"plain": {}, "ZeRO 1": {"data": 2, "zero_stage": 1}, "PP2": {"stages": 2}}


@pytest.mark.parametrize(("old", "new"), [("plain", "PP2"), ("PP2", "ZeRO 1"), ("ZeRO 1", "plain")])
def test_in_bf16_the_fp32_weights_resume_in_every_wrapper(old: str, new: str, start: Start) -> None:
    """DeepSpeed wraps the optimiser differently in each layout; losses differ within the precision of bf16."""
    budget = {"steps": 8, "checkpoint_every": 4, "keep_checkpoints": 9}
    original, same, other = (
        tiny(parallel=HALF[name], precision={"dtype": "bf16"}, budget=budget) for name in (old, old, new)
    )
    first = start(original, "first").succeeded()
    checkpoint = first.directory.checkpoints / "step-00000004"
    whole = first.series("loss")
    again = start(same, "same", resume_from=checkpoint).succeeded().series("loss")
    assert again == {step: whole[step] for step in range(5, 9)}, "bit by bit in the same layout"
    changed = start(other, "other", resume_from=checkpoint).succeeded().series("loss")
    assert list(changed) == [5, 6, 7, 8]
    assert largest_difference(changed, whole) < 5e-3
