"""Epochs of a budget: exact for prepared data, about right before, and a warning where they are many."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from engine.data import epochs, objectives, prepare
from engine.data.corpora import BY_NAME
from engine.spec.spec import Spec, SpecError, parse
from engine.verdict.spec_edits import apply_changes

SEED, CASES = 20261201, 60


def spec_of(**parts: dict) -> Spec:
    return parse({"data": {"tokenizer": "bytes", "corpus": "text.txt"}} | parts)


def test_estimates_of_random_texts_are_near_the_exact_number(tmp_path: Path):
    rng = random.Random(SEED)
    for number in range(20):
        root = tmp_path / str(number)
        root.mkdir()
        (root / "text.txt").write_text(
            "".join(rng.choice("abcdefg \n") for _ in range(rng.randint(50_000, 400_000)))
        )
        spec = spec_of(
            model={"context": rng.choice([16, 64, 128])},
            batch={"global_batch_size": rng.choice([8, 64]), "micro_batch_size": 2},
            budget={"steps": rng.choice([1, 50, 3000])},
        )
        size = epochs.measure_corpus("text.txt", root)
        assert size is not None
        exact = epochs.count_epochs(spec, prepare.prepare(spec.data, root, root / "data"))
        assert epochs.estimate_epochs(spec, *size) == pytest.approx(exact, rel=0.08)


@pytest.mark.parametrize("name", ["python-docs", "messages-en-fr", "languages"])
def test_sizes_of_built_in_corpora_are_about_right(name: str):
    corpus = BY_NAME[name]
    found = list(corpus.read())
    size = sum(len(one.source.encode()) for one in found) if corpus.kind == "text" else len(found)
    assert corpus.about_size == pytest.approx(size, rel=0.35)


def test_many_passes_warn():
    large = spec_of(data={"corpus": "python-source", "tokenizer": "bytes"}, budget={"steps": 100_000})
    found = epochs.estimate_epochs(large, *epochs.measure_corpus("python-source", "."))
    assert found == pytest.approx(100_000 * 16 * 128 / (12.1e6 * (1 - large.data.validation_share)), rel=0.01)
    assert "by heart" not in epochs.describe_epochs(epochs.MANY_EPOCHS, "corpus")
    assert "passes over the corpus 1,600 times. Beyond about 40" in epochs.describe_epochs(1600, "corpus")


def test_a_proposed_context_is_never_refused_again(tmp_path: Path):
    """Random short texts, contexts and validation shares; what is proposed passes the check that refused."""
    rng, proposed = random.Random(SEED), 0
    for number in range(CASES):
        root = tmp_path / str(number)
        root.mkdir()
        size = rng.choice([10, 40, 200, 1000, 4000, 20_000])
        (root / "text.txt").write_text("".join(rng.choice("abcdef \n") for _ in range(size)))
        spec = spec_of(
            model={"context": rng.choice([8, 64, 256, 1024])},
            data={
                "corpus": "text.txt",
                "tokenizer": "bytes",
                "validation_share": rng.choice([0.001, 0.01, 0.1, 0.4]),
            },
        )
        prepared = prepare.prepare(spec.data, root, root / "data")
        try:
            objectives.refuse_unfit(spec, prepared)
        except SpecError as error:
            (problem,) = error.problems
            if problem.fix:
                proposed += 1
                objectives.refuse_unfit(apply_changes(spec.model_dump(), problem.fix), prepared)
            else:
                assert size <= 1000 and "change validation_share" in problem.message
    assert proposed >= CASES // 4
