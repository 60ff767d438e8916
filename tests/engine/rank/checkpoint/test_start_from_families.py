"""Runs that start from folders of transformers, in several layouts."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from engine.checkpoints.huggingface.read import HuggingFaceFolder
from tests.engine.checkpoints.families.draws import draw_config
from tests.engine.checkpoints.families.test_families import write_folder
from tests.engine.rank.attempts import Attempt, tiny
from tests.engine.rank.families import LAYOUTS, difference

pytestmark = pytest.mark.ranks

Start = Callable[..., Attempt]

BPE = {"tokenizer": "bpe", "vocab_size": 300}
STEPS = 8
CASES = [("qwen3", "TP2"), ("gemma2", "PP2"), ("gpt_neox", "DP2 ZeRO 3"), ("phi3", "TP2")]


@pytest.fixture
def tokenizer(start: Start) -> Path:
    """Return the tokenizer that a run has made of the corpus."""
    newest = start(tiny(data=BPE, budget={"steps": 2}), "tokenizer").succeeded().directory.newest_checkpoint()
    assert newest
    return newest / "tokenizer.json"


@pytest.mark.parametrize(("kind", "layout"), CASES)
def test_a_folder_of_transformers_trains_the_same_in_every_layout(
    kind: str, layout: str, tokenizer: Path, start: Start, tmp_path: Path
) -> None:
    config = draw_config(kind, 11)
    config.vocab_size = BPE["vocab_size"]
    folder = tmp_path / "folder"
    write_folder(config, folder, 11)
    shutil.copyfile(tokenizer, folder / "tokenizer.json")
    fields = HuggingFaceFolder(folder).fields
    attempts = {}
    for name in ("1 rank", layout):
        spec = tiny(model=fields, data=BPE, parallel=LAYOUTS[name], budget={"steps": STEPS})
        spec = spec.model_copy(update={"start_from": "the given folder"})
        attempts[name] = start(spec, name.replace(" ", "-"), start_from=folder).succeeded()
        notes = [line.text for line in attempts[name].lines("note", "rank0")]
        assert f"Started from the weights of {folder} with a new optimiser state." in notes
    assert list(attempts[layout].series("loss")) == list(range(1, STEPS + 1))
    assert difference(attempts[layout], attempts["1 rank"], "loss") < 1e-4
