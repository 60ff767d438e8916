"""Saves beside training: a full disk, a killed rank and a better validation leave the right checkpoints behind."""

from __future__ import annotations

import os
import random
import resource
import signal
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from engine.checkpoints.folder import read_manifest
from engine.checkpoints.pieces import WEIGHT, Pieces
from tests.engine.rank.attempts import Attempt, tiny, until

pytestmark = pytest.mark.ranks

Start = Callable[..., Attempt]

TWO = {"data": 2, "zero_stage": 1}


def names(attempt: Attempt) -> list[str]:
    """Everything in the folder of checkpoints, finished or not."""
    return sorted(path.name for path in attempt.directory.checkpoints.iterdir())


def warnings(attempt: Attempt, rank: int) -> list[str]:
    lines = attempt.lines("note", f"rank{rank}", rank)
    return [line.text for line in lines if line.level == "warning" and "checkpoint" in line.text]


def test_a_rank_that_cannot_write_costs_a_checkpoint_and_not_the_run(start: Start) -> None:
    budget = {"steps": 4000, "checkpoint_every": 5, "keep_checkpoints": 1}
    attempt = start(tiny(parallel=TWO, budget=budget))
    until(lambda: attempt.lines("checkpoint"), "a first checkpoint")
    # As on a full disk: writes of rank 1 fail from 100 kB on, which its lines never reach.
    resource.prlimit(attempt.pids[1], resource.RLIMIT_FSIZE, (100_000, resource.RLIM_INFINITY))
    until(lambda: warnings(attempt, 1), "a warning")
    kept = attempt.directory.newest_checkpoint()
    assert kept, "the older checkpoint stays"
    read_manifest(kept)
    resource.prlimit(attempt.pids[1], resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY,) * 2)
    attempt.stop()
    assert set(attempt.exit_codes) == {75}, attempt.log()
    assert names(attempt) == [f"step-{max(attempt.series('loss')):08d}"], (
        "the last one is there, and nothing half"
    )
    failed = warnings(attempt, 1)[0]
    assert failed.startswith("The checkpoint at step ")
    assert failed.endswith(" could not be written: File too large. The one before is kept.")


def test_the_attempt_fails_only_if_its_last_checkpoint_cannot_be_written(
    start: Start, tmp_path: Path
) -> None:
    spec = tiny(parallel=TWO, budget={"steps": 20, "checkpoint_every": 10})
    blocked = tmp_path / "attempt" / "checkpoints" / ".saving-step-00000020"
    blocked.parent.mkdir(parents=True)
    blocked.write_text("a file where a folder must be")
    attempt = start(spec)
    assert set(attempt.exit_codes) == {1}
    assert "The last checkpoint, at step 20, could not be written: File exists." in attempt.log()
    assert names(attempt) == [".saving-step-00000020", "step-00000010"]


def test_the_best_is_kept_beside_the_newest(start: Start) -> None:
    spec = tiny(
        optimiser={"learning_rate": 0.05, "schedule": "constant", "warmup_steps": 6},
        budget={"steps": 12, "validate_every": 2, "keep_best": True, "keep_checkpoints": 1},
    )
    attempt = start(spec).succeeded()
    losses = {line.step: line.metrics["validation_loss"] for line in attempt.lines("validation")}
    best = min(losses, key=lambda step: losses[step])
    assert best != 12, "at this learning rate the last weights must not be the best"
    assert names(attempt) == [f"step-{best:08d}", "step-00000012"]
    manifest = read_manifest(attempt.directory.checkpoints / f"step-{best:08d}")
    assert manifest["validation_loss"] == losses[best]
    assert all(line.metrics["checkpoint_block_s"] >= 0 for line in attempt.lines("checkpoint"))


def killed_at_a_random_moment(start: Start, kills: int) -> None:
    """Every step saves; each attempt is killed somewhere in its saves, and the next goes on from there."""
    moments = random.Random(6)
    spec = tiny(
        parallel=TWO, model={"dropout": 0.1}, optimiser={"schedule": "constant"},
        budget={"steps": 100_000, "checkpoint_every": 1},
    )  # fmt: skip
    newest: Path | None = None
    curve: dict[int, float] = {}
    for number in range(kills):
        attempt = start(spec, f"attempt {number}", resume_from=newest)
        until(lambda a=attempt: a.directory.newest_checkpoint(), "a checkpoint")
        time.sleep(moments.random() * 0.3)
        for pid in attempt.pids:
            os.kill(pid, signal.SIGKILL)
        assert set(attempt.exit_codes) == {-signal.SIGKILL}
        newest = attempt.directory.newest_checkpoint()
        assert newest
        pieces = Pieces(newest)
        assert {kind for name in pieces.parameters for kind in pieces.kinds(name)} == {
            WEIGHT, "exp_avg", "exp_avg_sq",
        }  # fmt: skip
        curve |= {s: x for s, x in attempt.series("loss").items() if s <= read_manifest(newest)["step"]}
    assert list(curve) == list(range(1, len(curve) + 1))
    budget = {"steps": len(curve), "checkpoint_every": 0}
    whole = start(
        spec.model_copy(update={"budget": spec.budget.model_copy(update=budget)}), "whole"
    ).succeeded()
    assert curve == whole.series("loss"), "bit-equal, over all kills"


def test_killed_in_the_middle_of_saves_the_newest_checkpoint_loads(start: Start) -> None:
    killed_at_a_random_moment(start, kills=3)
