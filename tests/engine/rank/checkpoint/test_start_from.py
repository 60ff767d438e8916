"""A run that begins with another's weights, or with Hugging Face's, in any layout."""

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
def giver(start: Start) -> Path:
    """The last checkpoint of a run with a BPE of its own."""
    newest = start(tiny(data=BPE, budget={"steps": 40}), "giver").succeeded().directory.newest_checkpoint()
    assert newest
    return newest


def test_weights_are_taken_over_in_another_layout_and_by_way_of_hugging_face(
    giver: Path, start: Start, tmp_path: Path
) -> None:
    export(giver, tmp_path / "exported")
    from_nothing = start(tiny(data=BPE, budget={"steps": 2}), "nothing").succeeded().series("loss")[1]
    losses = {}
    for name, layout, folder in (
        ("ours", {}, giver),
        ("ours, TP2 x PP2", {"tensor": 2, "stages": 2}, giver),
        ("theirs, ZeRO 3", {"data": 2, "zero_stage": 3}, tmp_path / "exported"),
    ):
        attempt = start(fine_tuning(parallel=layout), name, start_from=folder).succeeded()
        losses[name] = attempt.series("loss")[1]
        notes = [line.text for line in attempt.lines("note", "rank0")]
        assert f"Begins with the weights of {folder}; the optimiser begins anew." in notes
    assert max(losses.values()) - min(losses.values()) < 1e-5 * min(losses.values()), losses
    assert losses["ours"] < 0.9 * from_nothing, "a trained model knows more than a new one"


def test_the_tokenizer_goes_with_the_weights_onto_another_corpus(
    giver: Path, start: Start, rank_data_dir: Path
) -> None:
    words = "Quite another text, in which a BPE of its own would learn other pieces. 0123456789 " * 400
    (rank_data_dir / "other.txt").write_text(words)
    child = start(fine_tuning(data={"corpus": "other.txt"}), "child", start_from=giver).succeeded()
    newest = child.directory.newest_checkpoint()
    assert newest
    assert (newest / "tokenizer.json").read_bytes() == (giver / "tokenizer.json").read_bytes()
    own = start(tiny(data=BPE | {"corpus": "other.txt"}, budget={"steps": 2}), "own").succeeded()
    own_newest = own.directory.newest_checkpoint()
    assert own_newest
    assert (own_newest / "tokenizer.json").read_bytes() != (giver / "tokenizer.json").read_bytes()


def test_weights_of_another_shape_are_refused_with_every_field(giver: Path, start: Start) -> None:
    refused = start(fine_tuning(model={"ffn_width": 96, "layers": 3}), "refused", start_from=giver)
    assert set(refused.exit_codes) == {1}
    assert "have model.layers 2 and not 3; they fit no other value." in refused.log()
    assert "have model.ffn_width 64 and not 96" in refused.log()
