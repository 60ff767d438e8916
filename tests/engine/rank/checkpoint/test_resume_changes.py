"""Resumes with a changed spec, and divergences right after a resume."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from engine.checkpoints.soundness import open_checkpoint
from engine.rank.run.exit_codes import EXIT_DIVERGED
from engine.rank.train.divergence import ADVICE
from engine.spec.spec import Spec, parse
from tests.engine.rank.attempts import Attempt, tiny
from tests.engine.rank.checkpoint.damage import remove_checksums
from tests.engine.rank.train.test_divergence import corpus, of_policy  # noqa: F401 - a fixture

pytestmark = pytest.mark.ranks

Start = Callable[..., Attempt]
CONTEXT = 16


def spec_of(steps: int, **parts: dict[str, object]) -> Spec:
    return tiny(budget={"steps": steps}, **parts)


def test_tokens_are_carried_over_changes_of_the_batch(start: Start) -> None:
    first = start(spec_of(3), "first").succeeded()
    second = start(
        spec_of(5, batch={"global_batch_size": 16}), "second", resume_from=first.directory.newest_checkpoint()
    ).succeeded()
    third = start(
        spec_of(7, batch={"global_batch_size": 4}), "third", resume_from=second.directory.newest_checkpoint()
    ).succeeded()
    tokens = first.series("tokens") | second.series("tokens") | third.series("tokens")
    samples = (8, 16, 24, 40, 56, 60, 64)
    assert tokens == {step + 1: count * CONTEXT for step, count in enumerate(samples)}
    newest = third.directory.newest_checkpoint()
    assert newest and open_checkpoint(newest).manifest["counters"] == {"tokens": 64 * CONTEXT, "samples": 64}
    (note,) = [line.text for line in second.lines("note", "rank0") if line.level == "warning"]
    assert "batch.global_batch_size 8 -> 16; budget.steps 3 -> 5" in note
    assert (
        "Tokens and samples continue to count from 384 and 24;" in note and "24 samples are skipped" in note
    )


def test_a_resume_names_every_changed_field(start: Start) -> None:
    first = start(spec_of(2, model={"dropout": 0.1}), "first").succeeded()
    changed = spec_of(2, model={"dropout": 0.2}, optimiser={"learning_rate": 1e-3}).model_copy(
        update={"seed": 9}
    )
    again = start(changed, "again", resume_from=first.directory.newest_checkpoint()).succeeded()
    (note,) = [line.text for line in again.lines("note", "rank0") if line.level == "warning"]
    for text in ("seed 1 -> 9", "model.dropout 0.1 -> 0.2", "optimiser.learning_rate 0.003 -> 0.001"):
        assert text in note


def test_an_unchanged_resume_names_nothing(start: Start) -> None:
    first = start(spec_of(2), "first").succeeded()
    again = start(spec_of(2), "again", resume_from=first.directory.newest_checkpoint()).succeeded()
    assert not [
        line for line in again.lines("note", "rank0") if "differs" in line.text or line.level == "warning"
    ]


def test_a_divergence_right_after_a_resume_does_not_blame_the_learning_rate(start: Start) -> None:
    """Huge values, as a flipped exponent bit gives, in a checkpoint that has no checksums."""
    first = tiny(budget={"steps": 8, "checkpoint_every": 4})
    newest = start(first, "first").succeeded().directory.checkpoints / "step-00000004"
    remove_checksums(newest)
    file = open_checkpoint(newest).shards.files["rank0.safetensors"]
    key = next(key for key in file.keys() if key.startswith("weight|1."))  # noqa: SIM118
    content, begin = bytearray(file.path.read_bytes()), file._data + file._entries[key].data_offsets[0]
    content[begin : begin + 4] = np.float32(3e38).tobytes()
    file.path.write_bytes(content)
    again = start(spec_of(8), "again", resume_from=newest)
    assert again.exit_codes == [EXIT_DIVERGED]
    (text,) = [line.text for line in again.lines("result")]
    assert (
        "This is step 1 after the resume from step-00000004, so the restored state is a likelier cause"
        in text
    )
    assert "its files have no checksums" in text and ADVICE not in text


def test_a_divergence_after_a_resume_with_another_rate_names_the_change(start: Start) -> None:
    mad = {"learning_rate": 1e-4, "weight_decay": 0.0, "gradient_clip": 0.0, "warmup_steps": 0, "name": "sgd"}
    newest = start(spec_of(4, optimiser=mad), "calm").succeeded().directory.newest_checkpoint()
    changed = {"learning_rate": 10.0, "weight_decay": 10.0}
    guard = {"spike_factor": 1.01}
    again = start(spec_of(60, optimiser=mad | changed, guard=guard), "again", resume_from=newest)
    assert again.exit_codes == [EXIT_DIVERGED]
    (text,) = [line.text for line in again.lines("result")]
    assert "which changed optimiser.learning_rate 0.0001 -> 10; optimiser.weight_decay 0 -> 10" in text


def test_a_roll_back_passes_over_a_damaged_checkpoint_and_over_those_of_later_steps(
    start: Start, tmp_path: Path
) -> None:
    calm = parse(
        of_policy("stop").model_dump()
        | {"budget": {"steps": 6, "checkpoint_every": 2, "keep_checkpoints": 3}}
    )
    source = start(calm, "source").succeeded().directory.checkpoints
    own = tmp_path / "again/checkpoints"
    for step in (2, 4):
        shutil.copytree(source / f"step-{step:08d}", own / f"step-{step:08d}")
    shutil.copytree(source / "step-00000006", own / "step-00009999")  # of a later step, and damaged
    victim = own / "step-00000004/rank0.safetensors"
    victim.write_bytes(victim.read_bytes()[:-1])
    broken = parse(of_policy("roll_back").model_dump() | {"budget": {"steps": 60, "checkpoint_every": 59}})
    again = start(broken, "again")
    assert again.exit_codes
    warnings = [line.text for line in again.lines("note", "rank0") if line.level == "warning"]
    assert warnings[0].startswith("The checkpoint step-00000004 is damaged: ")
    assert warnings[1].startswith("Rolled back to the state of step 2 ")
