"""Resumed runs continue the loss series of an uninterrupted run."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from typing import Any

import pytest

from engine.directory import EXIT_STOPPED
from engine.spec.spec import parse
from tests.engine.rank.attempts import Attempt, tiny

pytestmark = pytest.mark.ranks

Start = Callable[..., Attempt]

LAYOUTS: dict[str, dict[str, Any]] = {
    "one rank, ZeRO 0": {},
    "two ranks, ZeRO 1": {"data": 2, "zero_stage": 1},
    "two stages, ZeRO 0": {"stages": 2},
    "two stages, ZeRO 1": {"stages": 2, "zero_stage": 1},
}


@pytest.mark.parametrize("name", LAYOUTS)
def test_a_stopped_and_resumed_run_equals_an_uninterrupted_one(name: str, start: Start) -> None:
    steps = 120 if name == "one rank, ZeRO 0" else 60
    spec = tiny(parallel=LAYOUTS[name], model={"dropout": 0.1}, budget={"steps": steps})
    uninterrupted = start(spec, "uninterrupted").succeeded()

    first = start(spec, "first")
    first.wait_for_step(3)
    first.stop()
    assert set(first.exit_codes) == {EXIT_STOPPED}, first.log()
    checkpoint = first.directory.newest_checkpoint()
    assert checkpoint
    stopped_at = max(first.series("loss"))
    assert checkpoint.name == f"step-{stopped_at:08d}"
    assert 3 <= stopped_at < steps, "the run must stop before its end for this test to show anything"

    second = start(spec, "second", resume_from=checkpoint).succeeded()
    assert first.series("loss") | second.series("loss") == uninterrupted.series("loss")
    assert min(second.series("loss")) == stopped_at + 1
    assert second.series("grad_norm")[steps] == uninterrupted.series("grad_norm")[steps]


# Layouts with slow steps: these runs save at a fixed step and are not stopped.
SLOW_LAYOUTS: dict[str, dict[str, Any]] = {
    "ZeRO 3": {"zero_stage": 3},
    "ZeRO 2, optimiser on the host": {"zero_stage": 2, "offload_optimiser": "host"},
    "ZeRO 3, all on the host": {"zero_stage": 3, "offload_optimiser": "host", "offload_parameters": "host"},
}


@pytest.mark.parametrize("name", SLOW_LAYOUTS)
def test_partitioned_and_offloaded_state_resumes_bit_by_bit(name: str, start: Start) -> None:
    spec = tiny(
        parallel={"data": 2} | SLOW_LAYOUTS[name],
        model={"dropout": 0.1},
        budget={"steps": 8, "checkpoint_every": 5},
    )
    whole = start(spec, "whole").succeeded()
    resumed = start(spec, "resumed", resume_from=whole.directory.checkpoints / "step-00000005").succeeded()
    assert resumed.series("loss") == {step: whole.series("loss")[step] for step in (6, 7, 8)}


@pytest.fixture
def checkpointed(start: Start) -> Attempt:
    spec = tiny(
        parallel={"data": 2, "zero_stage": 1},
        budget={"steps": 5, "checkpoint_every": 1, "keep_checkpoints": 2},
    )
    return start(spec).succeeded()


def test_only_the_newest_checkpoints_are_kept_and_each_lists_its_files(checkpointed: Attempt) -> None:
    folder = checkpointed.directory.checkpoints
    assert sorted(path.name for path in folder.iterdir()) == ["step-00000004", "step-00000005"]
    manifest = json.loads((folder / "step-00000005" / "manifest.json").read_text())
    assert manifest["step"] == 5
    assert (
        manifest["layout"]["parallel"] | {"data": 2, "stages": 1, "zero_stage": 1}
        == manifest["layout"]["parallel"]
    )
    files = {
        p.relative_to(folder / "step-00000005").as_posix()
        for p in (folder / "step-00000005").rglob("*")
        if p.is_file()
    }
    assert set(manifest["files"]) == files - {"manifest.json"}
    assert [line.text for line in checkpointed.lines("checkpoint")] == [f"step-{n:08d}" for n in range(1, 6)]
    assert all(line.seconds for line in checkpointed.lines("checkpoint"))


def test_another_model_is_refused_with_the_reason(checkpointed: Attempt, start: Start) -> None:
    other = tiny(parallel={"data": 2, "zero_stage": 1}, model={"ffn_width": 96}, budget={"steps": 8})
    refused = start(other, "other", resume_from=checkpointed.directory.newest_checkpoint())
    assert set(refused.exit_codes) == {1}
    assert "has model.ffn_width 64 instead of 96. A resumed run may change only the layout" in refused.log()


def test_a_resumed_run_keeps_the_number_format_of_its_checkpoint(checkpointed: Attempt, start: Start) -> None:
    spec = checkpointed.directory.read_spec()
    values = spec.model_dump() | {
        "precision": {"dtype": "auto"},
        "budget": spec.budget.model_dump() | {"steps": 6},
    }
    again = start(parse(values), "again", resume_from=checkpointed.directory.newest_checkpoint()).succeeded()
    assert "Precision fp32, as in the checkpoint." in [line.text for line in again.lines("note", "rank0")]
    assert list(again.series("loss")) == [6]


def test_a_checkpoint_with_a_truncated_file_is_refused(checkpointed: Attempt, start: Start) -> None:
    damaged = checkpointed.directory.path / "damaged"
    newest = checkpointed.directory.newest_checkpoint()
    assert newest
    shutil.copytree(newest, damaged)
    victim = damaged / "rank0.safetensors"
    victim.write_bytes(victim.read_bytes()[:-1])
    refused = start(checkpointed.directory.read_spec(), "again", resume_from=damaged)
    assert set(refused.exit_codes) == {1}
    assert "is damaged: rank0.safetensors is missing or not" in refused.log()


def test_a_folder_without_a_manifest_is_refused_and_the_one_before_is_loaded(
    checkpointed: Attempt, start: Start
) -> None:
    newest = checkpointed.directory.newest_checkpoint()
    assert newest
    (newest / "manifest.json").unlink()
    assert checkpointed.directory.newest_checkpoint() != newest
    again = start(checkpointed.directory.read_spec(), "again", resume_from=newest).succeeded()
    (warning,) = [line.text for line in again.lines("note", "rank0") if line.level == "warning"]
    assert "step-00000005 is not complete: it has no manifest. Continuing from step-00000004" in warning
    assert again.series("loss") == {5: checkpointed.series("loss")[5]}


def test_resuming_a_finished_run_records_that_all_steps_are_done(checkpointed: Attempt, start: Start) -> None:
    again = start(
        checkpointed.directory.read_spec(), "again", resume_from=checkpointed.directory.newest_checkpoint()
    ).succeeded()
    assert again.series("loss") == {}
    assert [line.text for line in again.lines("result")] == ["All 5 steps were already done."]
