"""Epochs of a run, against the sequences that it reads: 40 random specs over generated files."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from engine.data import prepare
from engine.data.corpora import BY_NAME
from engine.data.epochs import WARN_ABOVE, CorpusSize, built_in_or_file_size, count_epochs
from engine.data.full_batch import count_sequences
from engine.spec.spec import parse

SEED = 8


@pytest.mark.parametrize("number", range(40))
def test_epochs_of_a_file_are_those_of_its_sequences(tmp_path: Path, number: int) -> None:
    pick = random.Random(SEED * 1000 + number)
    words = ("ink", "milk")
    lines = [
        f"{pick.randrange(10**9)} bottles of {pick.choice(words)}\n" for _ in range(pick.randint(300, 3000))
    ]
    text = "".join(lines)
    (tmp_path / "text.txt").write_text(text)
    spec = parse(
        {
            "model": {"context": pick.choice((16, 64, 128))},
            "data": {
                "corpus": "text.txt",
                "tokenizer": "bytes",
                "validation_share": pick.choice((0.05, 0.2)),
            },
            "batch": {"global_batch_size": pick.choice((2, 8, 32)), "micro_batch_size": 1},
            "budget": {"steps": pick.randint(100, 50_000)},
        }
    )
    read = count_epochs(spec, built_in_or_file_size("text.txt", tmp_path))
    assert read is not None
    held = count_sequences(spec, prepare.prepare(spec.data, tmp_path, tmp_path / "data"))
    real = spec.budget.steps * spec.batch.global_batch_size / held
    assert read.count == pytest.approx(real, rel=0.3)
    assert bool(read.warning) == (read.count > WARN_ABOVE)


def test_the_sentence_names_epochs_and_size() -> None:
    spec = parse(
        {
            "data": {"corpus": "python-source"},
            "budget": {"steps": 100_000},
            "batch": {"global_batch_size": 512},
        }
    )
    read = count_epochs(spec, built_in_or_file_size("python-source", None))
    assert read is not None
    assert read.sentence.endswith("epochs over 12.1 MB")
    assert "fewer steps" in read.warning
    assert CorpusSize(num_examples=1200).text == "1,200 examples"


def test_an_unknown_size_gives_no_number(tmp_path: Path) -> None:
    assert built_in_or_file_size("dataset:x", tmp_path) is None
    assert built_in_or_file_size("../secret.txt", tmp_path) is None
    assert count_epochs(parse({}), None) is None


@pytest.mark.parametrize("name", ["python-docs", "messages-en-fr", "languages"])
def test_sizes_of_built_in_corpora_are_about_right(name: str) -> None:
    corpus = BY_NAME[name]
    found = list(corpus.read())
    size = sum(len(one.source.encode()) for one in found) if corpus.kind == "text" else len(found)
    assert corpus.about_size == pytest.approx(size, rel=0.35)
