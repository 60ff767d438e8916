"""Runs that start from the weights of a checkpoint or a Hugging Face folder."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from engine.checkpoints.huggingface.export import export
from engine.spec.spec import Spec
from tests.engine.rank.attempts import Attempt, tiny

pytestmark = pytest.mark.ranks

Start = Callable[..., Attempt]

BPE = {"tokenizer": "bpe", "vocab_size": 300}


def fine_tuning(**parts: dict[str, Any]) -> Spec:
    spec = tiny(data=BPE | parts.pop("data", {}), budget={"steps": 2}, **parts)
    return spec.model_copy(update={"start_from": "the given folder"})


@pytest.fixture
def source_checkpoint(start: Start) -> Path:
    """Return the last checkpoint of a run with its own BPE."""
    newest = (
        start(tiny(data=BPE, budget={"steps": 40}), "source_checkpoint")
        .succeeded()
        .directory.newest_checkpoint()
    )
    assert newest
    return newest


def test_weights_load_in_another_layout_and_from_a_hugging_face_export(
    source_checkpoint: Path, start: Start, tmp_path: Path
) -> None:
    export(source_checkpoint, tmp_path / "exported")
    from_nothing = start(tiny(data=BPE, budget={"steps": 2}), "nothing").succeeded().series("loss")[1]
    losses = {}
    for name, layout, folder in (
        ("checkpoint", {}, source_checkpoint),
        ("checkpoint, TP2 x PP2", {"tensor": 2, "stages": 2}, source_checkpoint),
        ("Hugging Face, ZeRO 3", {"data": 2, "zero_stage": 3}, tmp_path / "exported"),
    ):
        attempt = start(fine_tuning(parallel=layout), name, start_from=folder).succeeded()
        losses[name] = attempt.series("loss")[1]
        notes = [line.text for line in attempt.lines("note", "rank0")]
        assert f"Started from the weights of {folder} with a new optimiser state." in notes
    assert max(losses.values()) - min(losses.values()) < 1e-5 * min(losses.values()), losses
    assert losses["checkpoint"] < 0.9 * from_nothing, "trained weights have a lower loss than new ones"


def test_the_tokenizer_of_the_weights_is_used_for_another_corpus(
    source_checkpoint: Path, start: Start, rank_data_dir: Path
) -> None:
    words = "Quite another text, in which a BPE of its own would learn other pieces. 0123456789 " * 400
    (rank_data_dir / "other.txt").write_text(words)
    child = start(
        fine_tuning(data={"corpus": "other.txt"}), "child", start_from=source_checkpoint
    ).succeeded()
    newest = child.directory.newest_checkpoint()
    assert newest
    assert (newest / "tokenizer.json").read_bytes() == (source_checkpoint / "tokenizer.json").read_bytes()
    own = start(tiny(data=BPE | {"corpus": "other.txt"}, budget={"steps": 2}), "own").succeeded()
    own_newest = own.directory.newest_checkpoint()
    assert own_newest
    assert (own_newest / "tokenizer.json").read_bytes() != (source_checkpoint / "tokenizer.json").read_bytes()


def test_weights_of_another_shape_are_refused_with_every_field(source_checkpoint: Path, start: Start) -> None:
    refused = start(
        fine_tuning(model={"ffn_width": 96, "layers": 3}), "refused", start_from=source_checkpoint
    )
    assert set(refused.exit_codes) == {1}
    assert "have model.layers 2; the spec has 3. Use 2." in refused.log()
    assert "have model.ffn_width 64; the spec has 96." in refused.log()
