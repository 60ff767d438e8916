"""Asynchronous checkpoints: full disk, killed ranks, best validation loss."""

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
from engine.checkpoints.sharded_checkpoint import WEIGHT, ShardedCheckpoint
from tests.engine.rank.attempts import Attempt, tiny, until

pytestmark = pytest.mark.ranks

Start = Callable[..., Attempt]

TWO = {"data": 2, "zero_stage": 1}


def names(attempt: Attempt) -> list[str]:
    """Return the names in the folder of checkpoints, including unfinished ones."""
    return sorted(path.name for path in attempt.directory.checkpoints.iterdir())


def warnings(attempt: Attempt, rank: int) -> list[str]:
    lines = attempt.lines("note", f"rank{rank}", rank)
    return [line.text for line in lines if line.level == "warning" and "checkpoint" in line.text]


def test_a_rank_that_cannot_write_loses_a_checkpoint_and_not_the_run(start: Start) -> None:
    budget = {"steps": 4000, "checkpoint_every": 5, "keep_checkpoints": 1}
    attempt = start(tiny(parallel=TWO, budget=budget))
    until(lambda: attempt.lines("checkpoint"), "a first checkpoint")
    # Simulates a full disk: writes of rank 1 fail from 100 kB on, which its spool file never reaches.
    resource.prlimit(attempt.pids[1], resource.RLIMIT_FSIZE, (100_000, resource.RLIM_INFINITY))
    until(lambda: warnings(attempt, 1), "a warning")
    kept = attempt.directory.newest_checkpoint()
    assert kept, "the older checkpoint is kept"
    read_manifest(kept)
    resource.prlimit(attempt.pids[1], resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY,) * 2)
    attempt.stop()
    assert set(attempt.exit_codes) == {75}, attempt.log()
    assert names(attempt) == [f"step-{max(attempt.series('loss')):08d}"], (
        "only the last checkpoint exists, and no unfinished one"
    )
    failed = warnings(attempt, 1)[0]
    assert failed.startswith("The checkpoint at step ")
    assert failed.endswith(" could not be written: File too large. The previous checkpoint is kept.")


def test_the_attempt_fails_only_if_its_last_checkpoint_cannot_be_written(
    start: Start, tmp_path: Path
) -> None:
    spec = tiny(parallel=TWO, budget={"steps": 20, "checkpoint_every": 10})
    blocked = tmp_path / "attempt" / "checkpoints" / ".saving-step-00000020"
    blocked.parent.mkdir(parents=True)
    blocked.write_text("a file where a folder must be")
    attempt = start(spec)
    assert set(attempt.exit_codes) == {1}
    assert "The last checkpoint (step 20) could not be written: File exists." in attempt.log()
    assert names(attempt) == [".saving-step-00000020", "step-00000010"]


def test_the_best_checkpoint_is_kept_with_the_newest(start: Start) -> None:
    spec = tiny(
        optimiser={"learning_rate": 0.05, "schedule": "constant", "warmup_steps": 6},
        budget={"steps": 12, "validate_every": 2, "keep_best": True, "keep_checkpoints": 1},
    )
    attempt = start(spec).succeeded()
    losses = {line.step: line.metrics["validation_loss"] for line in attempt.lines("validation")}
    best = min(losses, key=lambda step: losses[step])
    assert best != 12, "the last weights must not be the best for this test to show anything"
    assert names(attempt) == [f"step-{best:08d}", "step-00000012"]
    manifest = read_manifest(attempt.directory.checkpoints / f"step-{best:08d}")
    assert manifest["validation_loss"] == losses[best]
    assert all(line.metrics["checkpoint_block_s"] >= 0 for line in attempt.lines("checkpoint"))


def kill_at_random_moments(start: Start, kills: int) -> None:
    """Save at every step, kill each attempt at a random moment, and resume the next one from its checkpoint."""
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
        sharded = ShardedCheckpoint(newest)
        assert {kind for name in sharded.parameters for kind in sharded.kinds(name)} == {
            WEIGHT, "exp_avg", "exp_avg_sq",
        }  # fmt: skip
        curve |= {s: x for s, x in attempt.series("loss").items() if s <= read_manifest(newest)["step"]}
    assert list(curve) == list(range(1, len(curve) + 1))
    budget = {"steps": len(curve), "checkpoint_every": 0}
    whole = start(
        spec.model_copy(update={"budget": spec.budget.model_copy(update=budget)}), "whole"
    ).succeeded()
    assert curve == whole.series("loss"), "bit-equal, over all kills"


def test_the_newest_checkpoint_loads_after_a_kill_during_a_save(start: Start) -> None:
    kill_at_random_moments(start, kills=3)
