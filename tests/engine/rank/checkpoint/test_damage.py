"""Damaged checkpoints: refused with a sentence, and the one before is loaded."""

from __future__ import annotations

import random
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from engine.checkpoints.folder import ResumeError
from engine.checkpoints.soundness import OpenCheckpoint, list_resume_points, open_checkpoint
from engine.rank.checkpoint.choose import choose_checkpoint
from tests.engine.rank.attempts import Attempt, tiny
from tests.engine.rank.checkpoint.damage import DAMAGES, INVISIBLE, flip_bit, remove_checksums

pytestmark = pytest.mark.ranks

Start = Callable[..., Attempt]

LAYOUTS: dict[str, dict[str, Any]] = {
    "one rank": {},
    "ZeRO 1": {"data": 2, "zero_stage": 1},
    "ZeRO 2": {"data": 2, "zero_stage": 2},
    "ZeRO 3": {"data": 2, "zero_stage": 3},
    "tensor": {"tensor": 2},
    "pipeline": {"stages": 2},
}
ROUNDS = 3  # of every damage in every layout: 6 x 17 x 3 = 306 cases
STEPS = (2, 4, 6)


def train(start: Start, name: str, **changes: dict[str, Any]) -> Attempt:
    budget = {"steps": 6, "checkpoint_every": 2, "keep_checkpoints": 3}
    return start(tiny(parallel=LAYOUTS[name], budget=budget, **changes), f"whole {name}").succeeded()


def contents(checkpoint: OpenCheckpoint) -> dict[str, Any]:
    """Return all that a resume reads."""
    found: dict[str, Any] = {"manifest": checkpoint.manifest, "own": checkpoint.shards.own}
    for name, file in checkpoint.shards.files.items():
        found |= {f"{name} {key}": file.read(key) for key in file.keys()}  # noqa: SIM118
    return found


def equal(found: dict[str, Any], truth: dict[str, Any]) -> bool:
    return found.keys() == truth.keys() and all(
        np.array_equal(value, truth[key]) if isinstance(value, np.ndarray) else value == truth[key]
        for key, value in found.items()
    )


@pytest.mark.parametrize("name", LAYOUTS)
def test_a_damaged_checkpoint_loads_bit_equal_or_the_one_before_does(
    name: str, start: Start, tmp_path: Path
) -> None:
    source = train(start, name).directory.checkpoints
    truth = {step: contents(open_checkpoint(source / f"step-{step:08d}")) for step in STEPS}
    refused = 0
    for damage in DAMAGES:
        for round_number in range(ROUNDS):
            case = f"{name} {damage.__name__} {round_number}"
            folder, notes = tmp_path / case, list[str]()
            shutil.copytree(source, folder)
            newest, before = folder / "step-00000006", folder / "step-00000004"
            damage(newest, before, random.Random(case))
            found = choose_checkpoint(list_resume_points(newest), lambda text, _, n=notes: n.append(text))
            assert equal(contents(found), truth[found.step]), case
            if found.step == 6:
                assert not notes, case
            else:
                refused += 1
                assert found.step == 4, case
                assert notes[0].startswith("The checkpoint step-00000006 is "), case
                assert notes[0].endswith("Continuing from step-00000004 instead."), case
                assert "\n" not in notes[0] and len(notes[0]) < 1000, case
            shutil.rmtree(folder)
    assert refused > 0.9 * len(DAMAGES) * ROUNDS, "most damages must be seen"


@pytest.mark.parametrize("name", LAYOUTS)
def test_a_checkpoint_of_an_older_version_is_accepted_and_the_run_says_that_it_is_unchecked(
    name: str, start: Start, tmp_path: Path
) -> None:
    source = train(start, name).directory.checkpoints
    for path in source.glob("step-*"):
        remove_checksums(path)
    truth = {step: contents(open_checkpoint(source / f"step-{step:08d}")) for step in STEPS}
    for damage in DAMAGES:
        case = f"old {name} {damage.__name__}"
        folder, notes = tmp_path / case, list[str]()
        shutil.copytree(source, folder)
        damage(folder / "step-00000006", folder / "step-00000004", random.Random(case))
        found = choose_checkpoint(
            list_resume_points(folder / "step-00000006"), lambda text, _, n=notes: n.append(text)
        )
        assert "has no checksums" in notes[-1], case
        if damage not in INVISIBLE:
            assert found.step == 4 and equal(contents(found), truth[4]), case
        shutil.rmtree(folder)


def test_a_checkpoint_of_an_older_version_with_values_that_are_not_finite_is_refused(
    start: Start, tmp_path: Path
) -> None:
    source = train(start, "ZeRO 1").directory.checkpoints
    for path in source.glob("step-*"):
        remove_checksums(path)
    file = open_checkpoint(source / "step-00000006").shards.files["rank1.safetensors"]
    begin = file._data + file._entries[next(iter(file.keys()))].data_offsets[0]
    content = bytearray(file.path.read_bytes())
    content[begin : begin + 4] = np.float32(np.nan).tobytes()
    file.path.write_bytes(content)
    notes: list[str] = []
    found = choose_checkpoint(
        list_resume_points(source / "step-00000006"), lambda text, _: notes.append(text)
    )
    assert found.step == 4 and "not finite" in notes[0]


@pytest.mark.parametrize("name", ["one rank", "ZeRO 1", "pipeline"])
def test_ranks_continue_from_the_one_before_and_keep_it(name: str, start: Start) -> None:
    whole = train(start, name)
    newest = whole.directory.newest_checkpoint()
    assert newest
    flip_bit(newest, newest, random.Random(3))
    again = start(whole.directory.read_spec(), "again", resume_from=newest).succeeded()
    assert again.series("loss") == {step: whole.series("loss")[step] for step in (5, 6)}
    (warning,) = [line for line in again.lines("note", "rank0") if line.level == "warning"]
    assert "Continuing from step-00000004 instead." in warning.text


def test_a_run_without_a_sound_checkpoint_fails_and_does_not_start_from_the_beginning(start: Start) -> None:
    whole = train(start, "ZeRO 1")
    newest = whole.directory.newest_checkpoint()
    assert newest
    for path in newest.parent.iterdir():
        (path / "rank1.safetensors").write_bytes(b"")
    again = start(whole.directory.read_spec(), "again", resume_from=newest)
    assert set(again.exit_codes) == {1} and not again.series("loss")
    assert "No older one is left." in again.log() and "step-00000002 is damaged" in again.log()


def test_older_checkpoints_of_earlier_attempts_are_tried_in_turn(start: Start, tmp_path: Path) -> None:
    source = train(start, "one rank").directory.checkpoints
    for step, folder in ((6, "third"), (4, "second"), (2, "first")):
        shutil.copytree(source / f"step-{step:08d}", tmp_path / folder / f"step-{step:08d}")
    newest = tmp_path / "third/step-00000006"
    older = (str(tmp_path / "second/step-00000004"), str(tmp_path / "first/step-00000002"))
    for path in (newest, Path(older[0])):
        (path / "rank0.safetensors").unlink()
    assert choose_checkpoint(list_resume_points(newest, older), lambda *_: None).step == 2
    with pytest.raises(ResumeError, match="There is no older one to continue from"):
        choose_checkpoint(list_resume_points(newest), lambda *_: None)
